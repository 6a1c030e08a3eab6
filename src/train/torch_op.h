// How the executor computes one operator on LibTorch: the counterpart of nnq/op.h behind the wall.
//
// An operator family is one file in src/train/ops/, ending in NNQ_TRAIN_OPS(family) { add("Relu", build_relu); ... }. A
// builder parses a node's attributes once and returns a kernel; an empty kernel means "not in this configuration", and
// the executor then runs the torch-free reference (no gradient).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "nnq/error.h"
#include "nnq/node.h"
#include "nnq/tensor.h"
#include "train/surrogate.h"

namespace nnq::train {

/// What differs from one forward pass to the next.
struct Run {
  bool training = false;
  std::uint64_t stream = 0;  // of random numbers: a function of seed, step and pass
  Surrogate surrogate = {};  // gradient of Sign and Quantize
};

/// Inputs and outputs of one step while it runs.
class Args {
 public:
  Args(const Run& pass, const std::vector<at::Tensor*>& in, const std::vector<at::Tensor*>& out, bool overwrite)
      : run(pass), overwrite_first(overwrite), in_(in), out_(out) {}
  const Run& run;
  const bool overwrite_first;  // input 0 is dead after this step and no one's gradient needs it

  std::size_t inputs() const { return in_.size(); }
  std::size_t outputs() const { return out_.size(); }
  bool has(std::size_t i) const { return i < in_.size() && in_[i] != nullptr && in_[i]->defined(); }
  const at::Tensor& operator[](std::size_t i) const { return *in_[i]; }
  at::Tensor& variable(std::size_t i) const { return *in_[i]; }  // for running statistics
  at::Tensor optional(std::size_t i) const { return has(i) ? *in_[i] : at::Tensor(); }
  bool wants(std::size_t i) const { return i < out_.size() && out_[i] != nullptr; }
  void set(std::size_t i, at::Tensor value) const {
    if (wants(i)) *out_[i] = std::move(value);
  }

 private:
  const std::vector<at::Tensor*>& in_;
  const std::vector<at::Tensor*>& out_;
};

using Kernel = std::function<void(const Args&)>;

/// What a builder sees of its node.
struct Build {
  const Node& node;
  std::int64_t opset;
  std::vector<const Tensor*> constants;  // by input; nullptr: not known before running
  std::uint64_t index = 0;               // of the node, to tell random streams apart
  bool twofold = false;                  // sums are made in double outside training (real_sums.h)

  const Tensor* constant(std::size_t i) const { return i < constants.size() ? constants[i] : nullptr; }
  bool has(std::size_t i) const { return i < node.inputs.size() && !node.inputs[i].empty(); }
};

/// Integers that come from an attribute, a constant input, or an input only known while running.
class Integers {
 public:
  /// Attribute `name` when the node has it, otherwise input `input`, otherwise absent.
  Integers(const Build& build, const char* name, std::size_t input);
  bool present() const { return present_; }
  std::vector<std::int64_t> read(const Args& args) const;

 private:
  bool present_ = false, known_ = false;
  std::size_t input_ = 0;
  std::vector<std::int64_t> values_;
};

using Builder = std::function<Kernel(const Build&)>;
using AddBuilder = std::function<void(const char* op, Builder, const char* domain)>;

/// Makes a kernel of one output from f(args) -> at::Tensor.
template <class F>
Kernel one_output(F f) {
  return [f = std::move(f)](const Args& args) { args.set(0, f(args)); };
}

/// nullptr when the operator has no torch form.
const Builder* find_builder(std::string_view domain, std::string_view op);

/// True when the result of `x` will be differentiated.
inline bool needs_gradient(const at::Tensor& x) { return at::GradMode::is_enabled() && x.requires_grad(); }

/// y(x, weight, bias or an undefined tensor), in double and rounded once when `twofold` and nothing trains or is
/// differentiated.
template <class F>
at::Tensor summed(const Args& args, bool twofold, F y) {
  const at::Tensor bias = args.optional(2);
  if (!twofold || args.run.training || args[0].scalar_type() != at::kFloat || needs_gradient(args[0]))
    return y(args[0], args[1], bias);
  const auto widened = [](const at::Tensor& t) { return t.defined() ? t.detach().to(at::kDouble) : t; };
  return y(widened(args[0]), widened(args[1]), widened(bias)).to(at::kFloat);
}

/// A generator for one node of one pass, so that dropout and the like do not depend on threads or on each other.
at::Generator generator(const Run& run, std::uint64_t node_index);

}  // namespace nnq::train

/// Registration of a family: NNQ_TRAIN_OPS(pooling) { add("MaxPool", max_pool, ""); }
#define NNQ_TRAIN_OPS(family)                                  \
  namespace nnq::train::ops {                                  \
  void register_##family(const ::nnq::train::AddBuilder& add); \
  }                                                            \
  void nnq::train::ops::register_##family([[maybe_unused]] const ::nnq::train::AddBuilder& add)
