// What the recurrent steps on vectors share, whatever their products are made of: the outline of a run, gates and
// state.
#pragma once

#include <string>

#include "runtime/steps/recurrent.h"

namespace nnq {

/// Both products, gates, the cell and the quantization of the state, time step after time step. The input's products of
/// a few time steps are made ahead, for a chunk of weights is then fetched once for all of them.
class OnlineRecurrent : public PreparedStep {
 public:
  Status run(ThreadPool& pool) final;

 protected:
  /// `together`: vectors that a chunk of weights is fetched for at the most; `state_scales`: scales of a state vector.
  OnlineRecurrent(const PlanContext& plan, const Step& step, std::int64_t together, std::int64_t state_scales);

  /// What `nnq benchmark` shows, threads, and the scratch that all forms need; the form's own follows with take().
  void describe(const PlanContext& plan, const Step& step, const std::string& product, std::int64_t bytes);
  /// Sets the ceiling of the two products together; where they have different ones, none.
  template <class Product>
  void bound_by(const Product& input, const Product& state, const Step& step) {
    if (input.ceiling() != state.ceiling()) return;
    const auto inputs = static_cast<double>(step.weights.count), states = static_cast<double>(r_.weights.count);
    ceiling = state.ceiling();
    ceiling_share = (inputs + states) / (inputs / input.ceiling_share() + states / state.ceiling_share());
  }
  std::size_t take(std::int64_t bytes);
  template <class T>
  T* of(std::size_t at) const {
    return reinterpret_cast<T*>(scratch + at);
  }

  /// The state of sample b as codes and scales, and ready for the next product.
  virtual void quantize(std::int64_t b, std::uint8_t* codes, float* scales) const = 0;
  /// Products of `count` input vectors from `first` on, to input_sums().
  virtual void input_products(ThreadPool& pool, std::int64_t first, std::int64_t count) const = 0;
  /// Products of the quantized states, whose scales are given, to state_sums().
  virtual void state_products(ThreadPool& pool, const float* scales) const = 0;

  const float* state(std::int64_t b) const { return of<float>(h_at_) + b * r_.hidden; }
  float* values() const { return of<float>(values_at_); }  // scratch of one state
  float* input_sums() const { return of<float>(input_sums_at_); }
  float* state_sums() const { return of<float>(state_sums_at_); }
  const float* bias() const { return r_.bias.empty() ? nullptr : r_.bias.data(); }
  const float* state_bias() const { return r_.state_bias.empty() ? nullptr : r_.state_bias.data(); }
  std::int64_t positions() const { return ahead_ * batch_; }

  const Recurrence& r_;
  RecurrentSlots slots_;
  std::int64_t time_, batch_, ahead_, parts_ = 1;

 private:
  void time_step(ThreadPool& pool, std::int64_t t, std::int64_t ahead) const;

  std::int64_t rows_, state_scales_;
  std::size_t h_at_ = 0, c_at_ = 0, codes_at_ = 0, values_at_ = 0, first_scales_at_ = 0, input_sums_at_ = 0,
              state_sums_at_ = 0;
};

}  // namespace nnq
