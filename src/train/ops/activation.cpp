// Functions of one tensor, element by element.
#include <limits>

#include "train/torch_op.h"

namespace nnq::train {
namespace {

using Function = at::Tensor (*)(const at::Tensor&);

Builder plain(Function f) {
  return [f](const Build&) { return one_output([f](const Args& args) { return f(args[0]); }); };
}

Kernel relu(const Build&) {
  return one_output([](const Args& args) {
    if (!args.overwrite_first) return at::relu(args[0]);
    at::Tensor x = args[0];
    return at::relu_(x);
  });
}

Kernel leaky_relu(const Build& build) {
  const double alpha = build.node.get_float("alpha", 0.01f);
  return one_output([=](const Args& args) { return at::leaky_relu(args[0], alpha); });
}

/// The slope broadcasts to x from the right (ONNX), so not LibTorch's per-channel prelu.
Kernel prelu(const Build&) {
  return one_output([](const Args& args) { return at::where(args[0] < 0, args[0] * args[1], args[0]); });
}

Kernel clip(const Build& build) {
  const bool by_attribute = build.opset < 11;
  const c10::optional<at::Scalar> low = by_attribute && build.node.has("min")
                                            ? c10::make_optional<at::Scalar>(build.node.get_float("min", 0))
                                            : c10::nullopt;
  const c10::optional<at::Scalar> high = by_attribute && build.node.has("max")
                                             ? c10::make_optional<at::Scalar>(build.node.get_float("max", 0))
                                             : c10::nullopt;
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    if (by_attribute) return low || high ? at::clamp(x, low, high) : x;
    c10::optional<at::Tensor> min, max;
    if (args.has(1)) min = args[1];
    if (args.has(2)) max = args[2];
    if (!min && !max) return x;
    if (!at::isFloatingType(x.scalar_type()) || (min && min->requires_grad()) || (max && max->requires_grad()))
      return at::clamp(x, min, max);
    const auto scalar = [](const c10::optional<at::Tensor>& t) {
      return t ? c10::make_optional(t->item()) : c10::nullopt;
    };
    return at::clamp(x, scalar(min), scalar(max));
  });
}

Kernel hard_sigmoid(const Build& build) {
  const double alpha = build.node.get_float("alpha", 0.2f), beta = build.node.get_float("beta", 0.5f);
  return one_output([=](const Args& args) { return at::clamp(args[0] * alpha + beta, 0, 1); });
}

at::Tensor hard_swish(const at::Tensor& x) { return x * at::clamp(x * (1.0 / 6) + 0.5, 0, 1); }

Kernel elu(const Build& build) {
  const double alpha = build.node.get_float("alpha", 1);
  return one_output([=](const Args& args) { return at::elu(args[0], alpha); });
}

Kernel gelu(const Build& build) {
  const bool tanh = build.node.get_string("approximate", "none") == "tanh";
  return one_output([=](const Args& args) { return at::gelu(args[0], tanh ? "tanh" : "none"); });
}

/// Training: each element is dropped with probability `ratio`, the others divided by 1 - ratio.
Kernel dropout(const Build& build) {
  if (build.node.outputs.size() > 1 && !build.node.outputs[1].empty()) return {};
  const bool by_attribute = build.node.has("ratio");
  const double attribute = build.node.get_float("ratio", 0.5f);
  const std::uint64_t index = build.index;
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    if (!args.run.training) return x;
    const double ratio = !by_attribute && args.has(1) ? args[1].item<double>() : attribute;
    if (!(ratio > 0)) return x;
    NNQ_CHECK(ratio < 1, "dropout of ratio 1 leaves nothing");
    at::Tensor mask;
    {
      const at::NoGradGuard no_gradient;
      mask = at::empty_like(x).bernoulli_(1 - ratio, generator(args.run, index)).mul_(1 / (1 - ratio));
    }
    return x * mask;
  });
}

at::Tensor same(const at::Tensor& x) { return x; }
at::Tensor softplus(const at::Tensor& x) { return at::softplus(x); }

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(activation) {
  add("Relu", relu, "");
  add("LeakyRelu", leaky_relu, "");
  add("PRelu", prelu, "");
  add("Clip", clip, "");
  add("Sigmoid", plain(at::sigmoid), "");
  add("HardSigmoid", hard_sigmoid, "");
  add("HardSwish", plain(hard_swish), "");
  add("Tanh", plain(at::tanh), "");
  add("Elu", elu, "");
  add("Gelu", gelu, "");
  add("Softplus", plain(softplus), "");
  add("Erf", plain(at::erf), "");
  add("Exp", plain(at::exp), "");
  add("Log", plain(at::log), "");
  add("Sqrt", plain(at::sqrt), "");
  add("Abs", plain(at::abs), "");
  add("Neg", plain(at::neg), "");
  add("Sign", plain(at::sign), "");
  add("Reciprocal", plain(at::reciprocal), "");
  add("Floor", plain(at::floor), "");
  add("Ceil", plain(at::ceil), "");
  add("Round", plain(at::round), "");
  add("Not", plain(at::logical_not), "");
  add("Identity", plain(same), "");
  add("Dropout", dropout, "");
}
