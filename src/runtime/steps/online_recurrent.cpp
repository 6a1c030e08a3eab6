#include "runtime/steps/online_recurrent.h"

#include <algorithm>

#include "kernels/aligned.h"

namespace nnq {

OnlineRecurrent::OnlineRecurrent(const PlanContext& plan, const Step& step, std::int64_t together,
                                 std::int64_t state_scales)
    : r_(step.recurrence),
      slots_(plan, step),
      time_(slots_.codes.shape[0]),
      batch_(slots_.codes.shape[1]),
      ahead_(
          std::clamp<std::int64_t>(together / std::max<std::int64_t>(batch_, 1), 1, std::max<std::int64_t>(time_, 1))),
      rows_(step.out_channels),
      state_scales_(state_scales) {}

void OnlineRecurrent::describe(const PlanContext& plan, const Step& step, const std::string& product,
                               std::int64_t bytes) {
  kernel = (r_.gru ? "gru_" : "lstm_") + product;
  operations = 2 * time_ * batch_ * (step.weights.count + r_.weights.count);
  weight_bytes = bytes;
  parts_ = plan.threads == 1 || weight_bytes < 1 << 16 ? 1 : plan.threads;
  const std::int64_t n = r_.hidden;
  h_at_ = take(batch_ * n * 4);
  c_at_ = take(batch_ * n * 4);
  codes_at_ = take(n);
  values_at_ = take(n * 4);
  first_scales_at_ = take(batch_ * state_scales_ * 4);
  input_sums_at_ = take(positions() * rows_ * 4);
  state_sums_at_ = take(batch_ * rows_ * 4);
}

std::size_t OnlineRecurrent::take(std::int64_t bytes) {
  const std::size_t at = scratch_bytes;
  scratch_bytes += whole_lines(static_cast<std::size_t>(bytes));
  return at;
}

Status OnlineRecurrent::run(ThreadPool& pool) {
  const std::int64_t n = r_.hidden;
  for (std::int64_t b = 0; b < batch_; ++b) {
    slots_.load(slots_.state_in, b, n, of<float>(h_at_) + b * n);
    slots_.load(slots_.cell_in, b, n, of<float>(c_at_) + b * n);
    // The codes of the first state have no place in the output.
    quantize(b, of<std::uint8_t>(codes_at_), of<float>(first_scales_at_) + b * state_scales_);
  }
  for (std::int64_t first = 0; first < time_; first += ahead_) {
    const std::int64_t steps = std::min(ahead_, time_ - first);
    input_products(pool, first * batch_, steps * batch_);
    for (std::int64_t t = 0; t < steps; ++t) time_step(pool, first + t, t);
  }
  slots_.save(slots_.state_out, of<float>(h_at_), batch_ * n);
  slots_.save(slots_.cell_out, of<float>(c_at_), batch_ * n);
  return {};
}

void OnlineRecurrent::time_step(ThreadPool& pool, std::int64_t t, std::int64_t ahead) const {
  const std::int64_t n = r_.hidden;
  state_products(
      pool, t == 0 ? of<float>(first_scales_at_) : slots_.out_scales.as<float>() + (t - 1) * batch_ * state_scales_);
  for (std::int64_t b = 0; b < batch_; ++b) {
    const float* const input = input_sums() + (ahead * batch_ + b) * rows_;
    const float* const state = state_sums() + b * rows_;
    float* const h = of<float>(h_at_) + b * n;
    if (r_.gru)
      gru_cell(input, state, h, n);
    else
      lstm_cell(input, state, of<float>(c_at_) + b * n, h, n);
    if (t + 1 == time_ && !slots_.sequence_read) continue;
    const std::int64_t position = t * batch_ + b;
    quantize(b, slots_.out_codes.as<std::uint8_t>() + position * n,
             slots_.out_scales.as<float>() + position * state_scales_);
  }
}

}  // namespace nnq
