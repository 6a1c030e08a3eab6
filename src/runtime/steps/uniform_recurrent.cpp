// An LSTM or GRU on uniform vectors as one step: integer products, gates, the state quantized on line.
#include <algorithm>

#include "pack/vector_code.h"
#include "runtime/steps/integer_product.h"
#include "runtime/steps/online_recurrent.h"

namespace nnq {
namespace {

constexpr VectorCode eight_bits{.uniform = true, .bits = uniform_vector_bits, .cycles = 0};

std::shared_ptr<const IntegerProduct> product_of(const PlanContext& plan, const Step& step, bool state) {
  const Recurrence& r = step.recurrence;
  return plan.shared<IntegerProduct>(step, state ? "state" : "input", [&] {
    return std::make_shared<const IntegerProduct>(state ? r.weights : step.weights, state ? r.planes : step.planes,
                                                  step.out_channels, state ? r.hidden : step.in_channels, plan.isa);
  });
}

class UniformRecurrent final : public OnlineRecurrent {
 public:
  UniformRecurrent(const PlanContext& plan, const Step& step)
      : OnlineRecurrent(plan, step, matvec_batch, 1),
        shared_input_(product_of(plan, step, false)),
        shared_state_(product_of(plan, step, true)),
        input_(*shared_input_),
        state_(*shared_state_) {
    describe(plan, step, input_.kernel(), input_.weight_bytes() + state_.weight_bytes());
    bound_by(input_, state_, step);
    state_codes_at_ = take(batch_ * state_.padded());
    state_totals_at_ = take(batch_ * 4);
    input_codes_at_ = take(positions() * input_.padded());
    input_totals_at_ = take(positions() * 4);
    counts_at_ = take(static_cast<std::int64_t>(IntegerProduct::sum_bytes) * parts_);
  }

 private:
  void quantize(std::int64_t b, std::uint8_t* codes, float* scale) const override {
    quantize_vector(eight_bits, state(b), r_.hidden, scale, codes, values());
    of<std::int32_t>(state_totals_at_)[b] =
        signed_codes(codes, r_.hidden, state_.padded(), of<std::int8_t>(state_codes_at_) + b * state_.padded());
  }

  /// `count` vectors times a matrix: chunks of outputs are dealt to threads, and fetched once for matvec_batch vectors.
  void products(ThreadPool& pool, const IntegerProduct& matrix, const IntegerVectors& x, const float* bias,
                float* y) const {
    const std::int64_t groups = (x.count + matvec_batch - 1) / matvec_batch, items = groups * matrix.chunks();
    pool.parallel(parts_, [&](std::int64_t part) {
      auto* const sums = of<std::int32_t>(counts_at_ + IntegerProduct::sum_bytes * static_cast<std::size_t>(part));
      for (std::int64_t i = items * part / parts_; i < items * (part + 1) / parts_; ++i) {
        const std::int64_t v = i % groups * matvec_batch;
        matrix.run({x.codes + v * matrix.padded(), x.totals + v, x.scales + v, std::min(matvec_batch, x.count - v)},
                   i / groups, bias, y + v * matrix.rows(), sums);
      }
    });
  }

  void input_products(ThreadPool& pool, std::int64_t first, std::int64_t count) const override {
    auto* const codes = of<std::int8_t>(input_codes_at_);
    auto* const totals = of<std::int32_t>(input_totals_at_);
    for (std::int64_t p = 0; p < count; ++p)
      totals[p] = signed_codes(slots_.codes.as<std::uint8_t>() + (first + p) * input_.columns(), input_.columns(),
                               input_.padded(), codes + p * input_.padded());
    products(pool, input_, {codes, totals, slots_.scales.as<float>() + first, count}, bias(), input_sums());
  }

  void state_products(ThreadPool& pool, const float* scales) const override {
    products(pool, state_, {of<std::int8_t>(state_codes_at_), of<std::int32_t>(state_totals_at_), scales, batch_},
             state_bias(), state_sums());
  }

  std::shared_ptr<const IntegerProduct> shared_input_, shared_state_;
  const IntegerProduct &input_, &state_;
  std::size_t state_codes_at_ = 0, state_totals_at_ = 0, input_codes_at_ = 0, input_totals_at_ = 0, counts_at_ = 0;
};

}  // namespace

std::unique_ptr<PreparedStep> make_uniform_recurrent(const PlanContext& plan, const Step& step) {
  return std::make_unique<UniformRecurrent>(plan, step);
}

}  // namespace nnq
