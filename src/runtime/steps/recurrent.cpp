#include "runtime/steps/recurrent.h"

#include <algorithm>

#include "pack/multibit.h"
#include "runtime/steps/vector_product.h"

namespace nnq {
namespace {

constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

/// Both products, gates, the cell and the decomposition of the state, time step after time step. The input's products
/// of a few time steps are made ahead, for a chunk of weights is then fetched once for all of them.
class RecurrentLayer final : public PreparedStep {
 public:
  RecurrentLayer(const PlanContext& plan, const Step& step)
      : r_(step.recurrence),
        slots_(plan, step),
        shared_input_(plan.shared<VectorProduct>(step, "input",
                                                 [&] {
                                                   return std::make_shared<const VectorProduct>(
                                                       step.weights, step.planes, step.out_channels, step.in_channels,
                                                       plan.isa);
                                                 })),
        shared_state_(plan.shared<VectorProduct>(step, "state",
                                                 [&] {
                                                   return std::make_shared<const VectorProduct>(
                                                       r_.weights, r_.planes, step.out_channels, r_.hidden, plan.isa);
                                                 })),
        input_(*shared_input_),
        state_(*shared_state_),
        time_(slots_.codes.shape[0]),
        batch_(slots_.codes.shape[1]),
        input_planes_(static_cast<int>(slots_.scales.channels())),
        ahead_(std::clamp<std::int64_t>(16 / std::max<std::int64_t>(batch_, 1), 1, std::max<std::int64_t>(time_, 1))) {
    kernel = std::string(r_.gru ? "gru_" : "lstm_") + input_.kernel();
    operations = 2 * time_ * batch_ * (step.weights.count + r_.weights.count);
    weight_bytes = input_.weight_bytes() + state_.weight_bytes();
    parts_ = plan.threads == 1 || weight_bytes < 1 << 16 ? 1 : plan.threads;
    lay_out();
  }

  Status run(ThreadPool& pool) override {
    const std::int64_t n = r_.hidden;
    for (std::int64_t b = 0; b < batch_; ++b) {
      slots_.load(slots_.state_in, b, n, of<float>(h_at_) + b * n);
      slots_.load(slots_.cell_in, b, n, of<float>(c_at_) + b * n);
      // The codes of the first state have no place in the output.
      quantize(b, of<std::uint8_t>(codes_at_), of<float>(first_scales_at_) + b * r_.state_bits);
    }
    for (std::int64_t first = 0; first < time_; first += ahead_) {
      const std::int64_t steps = std::min(ahead_, time_ - first);
      input_products(pool, first, steps);
      for (std::int64_t t = 0; t < steps; ++t) time_step(pool, first + t, t);
    }
    slots_.save(slots_.state_out, of<float>(h_at_), batch_ * n);
    slots_.save(slots_.cell_out, of<float>(c_at_), batch_ * n);
    return {};
  }

 private:
  template <class T>
  T* of(std::size_t at) const {
    return reinterpret_cast<T*>(scratch + at);
  }

  void lay_out() {
    const auto take = [this](std::size_t bytes) {
      const std::size_t at = scratch_bytes;
      scratch_bytes += aligned(bytes);
      return at;
    };
    const auto n = static_cast<std::size_t>(r_.hidden), batch = static_cast<std::size_t>(batch_),
               rows = static_cast<std::size_t>(input_.rows()), bits = static_cast<std::size_t>(r_.state_bits),
               ahead = static_cast<std::size_t>(ahead_), planes = static_cast<std::size_t>(input_planes_);
    h_at_ = take(batch * n * 4);
    c_at_ = take(batch * n * 4);
    codes_at_ = take(n);
    values_at_ = take(n * 4);
    first_scales_at_ = take(batch * bits * 4);
    state_planes_at_ = take(batch * bits * static_cast<std::size_t>(state_.words()) * 8);
    state_set_at_ = take(batch * bits * 4);
    input_planes_at_ = take(ahead * batch * planes * static_cast<std::size_t>(input_.words()) * 8);
    input_set_at_ = take(ahead * batch * planes * 4);
    input_sums_at_ = take(ahead * batch * rows * 4);
    state_sums_at_ = take(batch * rows * 4);
    count_bytes_ = aligned(std::max(input_.count_bytes(input_planes_), state_.count_bytes(r_.state_bits)));
    counts_at_ = take(count_bytes_ * static_cast<std::size_t>(parts_));
  }

  /// The state of sample b as codes and scales, and as planes for the next product.
  void quantize(std::int64_t b, std::uint8_t* codes, float* scales) const {
    multibit::decompose(of<float>(h_at_) + b * r_.hidden, r_.hidden, r_.state_bits, multibit::Search::alternating,
                        r_.state_cycles, scales, codes, of<float>(values_at_));
    pack_vector(codes, r_.hidden, r_.state_bits, state_.words(), state_planes(b),
                of<std::int32_t>(state_set_at_) + b * r_.state_bits);
  }
  std::uint64_t* state_planes(std::int64_t b) const {
    return of<std::uint64_t>(state_planes_at_) + b * r_.state_bits * state_.words();
  }
  std::int32_t* counts(std::int64_t part) const {
    return of<std::int32_t>(counts_at_ + count_bytes_ * static_cast<std::size_t>(part));
  }

  void input_products(ThreadPool& pool, std::int64_t first, std::int64_t steps) const {
    const std::int64_t positions = steps * batch_, items = positions * input_.chunks(),
                       words = input_planes_ * input_.words();
    auto* const planes = of<std::uint64_t>(input_planes_at_);
    auto* const set = of<std::int32_t>(input_set_at_);
    for (std::int64_t p = 0; p < positions; ++p)
      pack_vector(slots_.codes.as<std::uint8_t>() + (first * batch_ + p) * input_.columns(), input_.columns(),
                  input_planes_, input_.words(), planes + p * words, set + p * input_planes_);
    const float* const bias = r_.bias.empty() ? nullptr : r_.bias.data();
    pool.parallel(parts_, [&](std::int64_t part) {
      for (std::int64_t i = items * part / parts_; i < items * (part + 1) / parts_; ++i) {
        const std::int64_t p = i % positions;
        input_.run({planes + p * words, set + p * input_planes_,
                    slots_.scales.as<float>() + (first * batch_ + p) * input_planes_, input_planes_},
                   i / positions, bias, of<float>(input_sums_at_) + p * input_.rows(), counts(part));
      }
    });
  }

  void time_step(ThreadPool& pool, std::int64_t t, std::int64_t ahead) const {
    const std::int64_t items = batch_ * state_.chunks(), n = r_.hidden, bits = r_.state_bits, rows = state_.rows();
    const float* const before =
        t == 0 ? of<float>(first_scales_at_) : slots_.out_scales.as<float>() + (t - 1) * batch_ * bits;
    const float* const bias = r_.state_bias.empty() ? nullptr : r_.state_bias.data();
    pool.parallel(parts_, [&](std::int64_t part) {
      for (std::int64_t i = items * part / parts_; i < items * (part + 1) / parts_; ++i) {
        const std::int64_t b = i % batch_;
        state_.run({state_planes(b), of<std::int32_t>(state_set_at_) + b * bits, before + b * bits, r_.state_bits},
                   i / batch_, bias, of<float>(state_sums_at_) + b * rows, counts(part));
      }
    });
    for (std::int64_t b = 0; b < batch_; ++b) {
      const float* const input = of<float>(input_sums_at_) + (ahead * batch_ + b) * rows;
      const float* const state = of<float>(state_sums_at_) + b * rows;
      float* const h = of<float>(h_at_) + b * n;
      if (r_.gru)
        gru_cell(input, state, h, n);
      else
        lstm_cell(input, state, of<float>(c_at_) + b * n, h, n);
      if (t + 1 == time_ && !slots_.sequence_read) continue;
      const std::int64_t position = t * batch_ + b;
      quantize(b, slots_.out_codes.as<std::uint8_t>() + position * n, slots_.out_scales.as<float>() + position * bits);
    }
  }

  const Recurrence& r_;
  RecurrentSlots slots_;
  std::shared_ptr<const VectorProduct> shared_input_, shared_state_;
  const VectorProduct &input_, &state_;
  std::int64_t time_, batch_;
  int input_planes_;
  std::int64_t ahead_, parts_ = 1;
  std::size_t h_at_ = 0, c_at_ = 0, codes_at_ = 0, values_at_ = 0, first_scales_at_ = 0, state_planes_at_ = 0,
              state_set_at_ = 0, input_planes_at_ = 0, input_set_at_ = 0, input_sums_at_ = 0, state_sums_at_ = 0,
              counts_at_ = 0, count_bytes_ = 0;
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
