// Float steps behind integer sums that run as one: dequantize -> [Add] -> [Relu] -> quantizers, the residual path of
// networks whose adds stay float. One pass over memory instead of one for each, and no change of layout between two
// such chains: floats that only they read lie channels last, as their sums do.
#pragma once

#include <vector>

#include "runtime/plan.h"

namespace nnq {

struct FloatChain {
  const Step* sums = nullptr;        // the dequantize it starts with, of images
  const Step* other_sums = nullptr;  // a second one, whose result is added, or none
  std::int32_t residual = -1;        // a result of another chain, channels last, that is added, or none
  const Step* signs = nullptr;       // a quantizer of what is before the Relu, to bits, or none
  bool relu = false;
  std::vector<const Step*> quantizers;  // of the result
  std::int32_t result = -1;             // the float value
  enum class Keep : std::uint8_t { nothing, planes, channels_last };
  Keep keep = Keep::nothing;  // how others read the result, if any do
  std::size_t place = 0;      // the step in whose place the chain runs: the last one that reads anything else
};

/// The chains of a program; slots have their shapes.
class FloatChains {
 public:
  FloatChains(const Program& program, const std::vector<Slot>& slots);
  /// The chain that runs in the place of step `i`, or none.
  const FloatChain* at(std::size_t i) const;
  /// Whether step `i` is part of a chain.
  bool swallows(std::size_t i) const { return swallowed_[i]; }

 private:
  struct Value {
    const Step* maker = nullptr;
    std::vector<std::size_t> readers;
    bool output = false;
    int chain = -1;  // it is the result of, so far
  };
  const Value& value(std::int32_t v) const { return values_[static_cast<std::size_t>(v)]; }
  bool sole(std::int32_t v) const { return value(v).readers.size() == 1 && !value(v).output; }
  bool starts(const Step& step) const;
  /// Sums made floats that one step reads.
  bool sole_start(std::int32_t v) const {
    return v >= 0 && sole(v) && value(v).maker != nullptr && starts(*value(v).maker);
  }
  std::int32_t other_operand(std::size_t i, std::int32_t v) const;
  bool channels_last(std::int32_t v) const;
  void take_add(std::size_t i);
  void take_relu(std::size_t i);
  void set_place(int chain, std::size_t i);
  void set_result(int chain, std::size_t i);
  void finish(FloatChain& chain);

  const Program& program_;
  const std::vector<Slot>& slots_;
  std::vector<Value> values_;
  std::vector<FloatChain> chains_;
  std::vector<int> chain_at_;  // by step; -1: none
  std::vector<bool> swallowed_;
};

std::unique_ptr<PreparedStep> make_float_chain(const PlanContext& plan, const FloatChain& chain);

}  // namespace nnq
