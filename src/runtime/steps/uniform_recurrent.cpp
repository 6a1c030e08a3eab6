// An LSTM or GRU on uniform vectors as one step: integer products, gates, the state quantized on line.
#include <algorithm>

#include "pack/vector_code.h"
#include "runtime/steps/integer_product.h"
#include "runtime/steps/recurrent.h"

namespace nnq {
namespace {

constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }
constexpr VectorCode eight_bits{.uniform = true, .bits = uniform_vector_bits, .cycles = 0};

std::shared_ptr<const IntegerProduct> product_of(const PlanContext& plan, const Step& step, bool state) {
  const Recurrence& r = step.recurrence;
  return plan.shared<IntegerProduct>(step, state ? "state" : "input", [&] {
    return std::make_shared<const IntegerProduct>(state ? r.weights : step.weights, state ? r.planes : step.planes,
                                                  step.out_channels, state ? r.hidden : step.in_channels, plan.isa);
  });
}

class UniformRecurrent final : public PreparedStep {
 public:
  UniformRecurrent(const PlanContext& plan, const Step& step)
      : r_(step.recurrence),
        slots_(plan, step),
        shared_input_(product_of(plan, step, false)),
        shared_state_(product_of(plan, step, true)),
        input_(*shared_input_),
        state_(*shared_state_),
        time_(slots_.codes.shape[0]),
        batch_(slots_.codes.shape[1]),
        ahead_(std::clamp<std::int64_t>(matvec_batch / std::max<std::int64_t>(batch_, 1), 1,
                                        std::max<std::int64_t>(time_, 1))) {
    kernel = text(r_.gru ? "gru_" : "lstm_", input_.kernel());
    operations = 2 * time_ * batch_ * (step.weights.count + r_.weights.count);
    weight_bytes = input_.weight_bytes() + state_.weight_bytes();
    parts_ = plan.threads == 1 || weight_bytes < 1 << 16 ? 1 : plan.threads;
    lay_out();
  }

  Status run(ThreadPool& pool) override {
    for (std::int64_t b = 0; b < batch_; ++b) {
      slots_.load(slots_.state_in, b, r_.hidden, of<float>(h_at_) + b * r_.hidden);
      slots_.load(slots_.cell_in, b, r_.hidden, of<float>(c_at_) + b * r_.hidden);
      quantize(b, of<std::uint8_t>(codes_at_), of<float>(scales_at_) + b);
    }
    for (std::int64_t first = 0; first < time_; first += ahead_) {
      const std::int64_t steps = std::min(ahead_, time_ - first);
      input_products(pool, first * batch_, steps * batch_);
      for (std::int64_t t = 0; t < steps; ++t) time_step(pool, first + t, t);
    }
    slots_.save(slots_.state_out, of<float>(h_at_), batch_ * r_.hidden);
    slots_.save(slots_.cell_out, of<float>(c_at_), batch_ * r_.hidden);
    return {};
  }

 private:
  template <class T>
  T* of(std::size_t at) const {
    return reinterpret_cast<T*>(scratch + at);
  }

  void lay_out() {
    const auto take = [this](std::int64_t bytes) {
      const std::size_t at = scratch_bytes;
      scratch_bytes += aligned(static_cast<std::size_t>(bytes));
      return at;
    };
    const std::int64_t n = r_.hidden, positions = ahead_ * batch_;
    h_at_ = take(batch_ * n * 4);
    c_at_ = take(batch_ * n * 4);
    codes_at_ = take(n);
    values_at_ = take(n * 4);
    scales_at_ = take(batch_ * 4);
    state_codes_at_ = take(batch_ * state_.padded());
    state_totals_at_ = take(batch_ * 4);
    input_codes_at_ = take(positions * input_.padded());
    input_totals_at_ = take(positions * 4);
    input_sums_at_ = take(positions * input_.rows() * 4);
    state_sums_at_ = take(batch_ * state_.rows() * 4);
    counts_at_ = take(static_cast<std::int64_t>(IntegerProduct::sum_bytes) * parts_);
  }

  /// The state of sample b as codes and a scale, and ready for the next product.
  void quantize(std::int64_t b, std::uint8_t* codes, float* scale) const {
    quantize_vector(eight_bits, of<float>(h_at_) + b * r_.hidden, r_.hidden, scale, codes, of<float>(values_at_));
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

  void input_products(ThreadPool& pool, std::int64_t first, std::int64_t count) const {
    auto* const codes = of<std::int8_t>(input_codes_at_);
    auto* const totals = of<std::int32_t>(input_totals_at_);
    for (std::int64_t p = 0; p < count; ++p)
      totals[p] = signed_codes(slots_.codes.as<std::uint8_t>() + (first + p) * input_.columns(), input_.columns(),
                               input_.padded(), codes + p * input_.padded());
    products(pool, input_, {codes, totals, slots_.scales.as<float>() + first, count},
             r_.bias.empty() ? nullptr : r_.bias.data(), of<float>(input_sums_at_));
  }

  void time_step(ThreadPool& pool, std::int64_t t, std::int64_t ahead) const {
    const std::int64_t n = r_.hidden, rows = state_.rows();
    const float* const before = t == 0 ? of<float>(scales_at_) : slots_.out_scales.as<float>() + (t - 1) * batch_;
    products(pool, state_, {of<std::int8_t>(state_codes_at_), of<std::int32_t>(state_totals_at_), before, batch_},
             r_.state_bias.empty() ? nullptr : r_.state_bias.data(), of<float>(state_sums_at_));
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
      quantize(b, slots_.out_codes.as<std::uint8_t>() + position * n, slots_.out_scales.as<float>() + position);
    }
  }

  const Recurrence& r_;
  RecurrentSlots slots_;
  std::shared_ptr<const IntegerProduct> shared_input_, shared_state_;
  const IntegerProduct &input_, &state_;
  std::int64_t time_, batch_, ahead_, parts_ = 1;
  std::size_t h_at_ = 0, c_at_ = 0, codes_at_ = 0, values_at_ = 0, scales_at_ = 0, state_codes_at_ = 0,
              state_totals_at_ = 0, input_codes_at_ = 0, input_totals_at_ = 0, input_sums_at_ = 0, state_sums_at_ = 0,
              counts_at_ = 0;
};

}  // namespace

std::unique_ptr<PreparedStep> make_uniform_recurrent(const PlanContext& plan, const Step& step) {
  return std::make_unique<UniformRecurrent>(plan, step);
}

}  // namespace nnq
