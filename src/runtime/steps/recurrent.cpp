#include "runtime/steps/recurrent.h"

#include <algorithm>

#include "kernels/aligned.h"
#include "kernels/decompose/decompose.h"
#include "runtime/steps/online_recurrent.h"
#include "runtime/steps/vector_product.h"

namespace nnq {
namespace {

/// On multi-bit vectors: products of bit planes.
class RecurrentLayer final : public OnlineRecurrent {
 public:
  RecurrentLayer(const PlanContext& plan, const Step& step)
      : OnlineRecurrent(plan, step, 16, step.recurrence.state_bits),
        shared_input_(product_of(plan, step, false)),
        shared_state_(product_of(plan, step, true)),
        input_(*shared_input_),
        state_(*shared_state_),
        input_planes_(static_cast<int>(slots_.scales.channels())),
        decompose_(decompose_kernel(plan.isa).run) {
    describe(plan, step, input_.kernel(), input_.weight_bytes() + state_.weight_bytes());
    bound_by(input_, state_, step);
    const std::int64_t bits = r_.state_bits;
    state_planes_at_ = take(batch_ * bits * state_.words() * 8);
    state_set_at_ = take(batch_ * bits * 4);
    input_planes_at_ = take(positions() * input_planes_ * input_.words() * 8);
    input_set_at_ = take(positions() * input_planes_ * 4);
    count_bytes_ = whole_lines(std::max(input_.count_bytes(input_planes_), state_.count_bytes(r_.state_bits)));
    counts_at_ = take(static_cast<std::int64_t>(count_bytes_) * parts_);
  }

 private:
  std::shared_ptr<const VectorProduct> product_of(const PlanContext& plan, const Step& step, bool state) const {
    const Recurrence& r = step.recurrence;
    return plan.shared<VectorProduct>(step, state ? "state" : "input", [&] {
      return std::make_shared<const VectorProduct>(state ? r.weights : step.weights, state ? r.planes : step.planes,
                                                   step.out_channels, state ? r.hidden : step.in_channels,
                                                   state ? r.state_bits : static_cast<int>(slots_.scales.channels()),
                                                   plan.isa);
    });
  }

  void quantize(std::int64_t b, std::uint8_t* codes, float* scales) const override {
    decompose_({state(b), r_.hidden, r_.state_bits, r_.state_cycles, scales, codes, values()});
    pack_vector(codes, r_.hidden, r_.state_bits, state_.words(), state_planes(b),
                of<std::int32_t>(state_set_at_) + b * r_.state_bits);
  }
  std::uint64_t* state_planes(std::int64_t b) const {
    return of<std::uint64_t>(state_planes_at_) + b * r_.state_bits * state_.words();
  }
  std::int32_t* counts(std::int64_t part) const {
    return of<std::int32_t>(counts_at_ + count_bytes_ * static_cast<std::size_t>(part));
  }

  void input_products(ThreadPool& pool, std::int64_t first, std::int64_t count) const override {
    const std::int64_t items = count * input_.chunks(), words = input_planes_ * input_.words();
    auto* const planes = of<std::uint64_t>(input_planes_at_);
    auto* const set = of<std::int32_t>(input_set_at_);
    for (std::int64_t p = 0; p < count; ++p)
      pack_vector(slots_.codes.as<std::uint8_t>() + (first + p) * input_.columns(), input_.columns(), input_planes_,
                  input_.words(), planes + p * words, set + p * input_planes_);
    pool.parallel(parts_, [&](std::int64_t part) {
      const std::int64_t begin = items * part / parts_;
      for (std::int64_t i = begin; i < items * (part + 1) / parts_; ++i) {
        const std::int64_t p = i % count;
        input_.run({planes + p * words, set + p * input_planes_,
                    slots_.scales.as<float>() + (first + p) * input_planes_, input_planes_},
                   i / count, bias(), input_sums() + p * input_.rows(), counts(part), count == 1 && i > begin);
      }
    });
  }

  void state_products(ThreadPool& pool, const float* scales) const override {
    const std::int64_t items = batch_ * state_.chunks(), bits = r_.state_bits;
    pool.parallel(parts_, [&](std::int64_t part) {
      const std::int64_t begin = items * part / parts_;
      for (std::int64_t i = begin; i < items * (part + 1) / parts_; ++i) {
        const std::int64_t b = i % batch_;
        state_.run({state_planes(b), of<std::int32_t>(state_set_at_) + b * bits, scales + b * bits, r_.state_bits},
                   i / batch_, state_bias(), state_sums() + b * state_.rows(), counts(part), batch_ == 1 && i > begin);
      }
    });
  }

  std::shared_ptr<const VectorProduct> shared_input_, shared_state_;
  const VectorProduct &input_, &state_;
  int input_planes_;
  DecomposeVector decompose_;
  std::size_t state_planes_at_ = 0, state_set_at_ = 0, input_planes_at_ = 0, input_set_at_ = 0, counts_at_ = 0,
              count_bytes_ = 0;
};

const Slot* slot_of(const PlanContext& plan, const std::vector<std::int32_t>& values, std::size_t i) {
  return i < values.size() && values[i] >= 0 ? &plan.slot(values[i]) : nullptr;
}

bool is_read(const Program& program, std::int32_t value) {
  const auto has = [value](const std::vector<std::int32_t>& list) {
    return std::find(list.begin(), list.end(), value) != list.end();
  };
  return has(program.outputs) ||
         std::any_of(program.steps.begin(), program.steps.end(), [&](const Step& step) { return has(step.inputs); });
}

}  // namespace

RecurrentSlots::RecurrentSlots(const PlanContext& plan, const Step& step)
    : codes(plan.slot(step.inputs[0])),
      scales(plan.slot(step.inputs[1])),
      out_codes(plan.slot(step.outputs[0])),
      out_scales(plan.slot(step.outputs[1])),
      state_in(slot_of(plan, step.inputs, 2)),
      cell_in(slot_of(plan, step.inputs, 3)),
      state_out(slot_of(plan, step.outputs, 2)),
      cell_out(slot_of(plan, step.outputs, 3)),
      sequence_read(is_read(plan.program, step.outputs[0]) || is_read(plan.program, step.outputs[1])) {}

void RecurrentSlots::load(const Slot* from, std::int64_t b, std::int64_t n, float* to) {
  if (from != nullptr)
    std::copy_n(from->as<float>() + b * n, n, to);
  else
    std::fill_n(to, n, 0.0F);
}

void RecurrentSlots::save(const Slot* to, const float* from, std::int64_t count) {
  if (to != nullptr) std::copy_n(from, count, to->as<float>());
}

std::unique_ptr<PreparedStep> make_recurrent(const PlanContext& plan, const Step& step) {
  if (step.recurrence.uniform) return make_uniform_recurrent(plan, step);
  return std::make_unique<RecurrentLayer>(plan, step);
}

}  // namespace nnq
