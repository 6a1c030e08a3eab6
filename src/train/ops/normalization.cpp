// BatchNormalization, InstanceNormalization, LayerNormalization.
#include "train/torch_op.h"

namespace nnq::train {
namespace {

/// Parameters of shape [C] against an input [N, C, ...].
at::Tensor per_channel(const at::Tensor& parameter, const at::Tensor& x) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[1] = parameter.numel();
  return parameter.view(shape);
}

/// Training: batch statistics; the buffers move by 1 - momentum (ONNX's momentum is the share of the old value), the
/// variance by its unbiased estimate, as everyone trains. Evaluation: the reference's formula, step by step.
Kernel batch_norm(const Build& build) {
  for (std::size_t i = 1; i < build.node.outputs.size(); ++i)
    if (!build.node.outputs[i].empty()) return {};
  const double epsilon = build.node.get_float("epsilon", 1e-5f);
  const double momentum = 1 - static_cast<double>(build.node.get_float("momentum", 0.9f));
  const auto epsilon_f = static_cast<float>(epsilon);
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    NNQ_CHECK(x.dim() >= 2, "BatchNormalization needs an input of rank 2 or more");
    if (args.run.training) return at::batch_norm(x, args[1], args[2], args[3], args[4], true, momentum, epsilon, false);
    const at::Tensor inverse = at::ones({}, x.options()) / at::sqrt(args[4] + epsilon_f);
    return (x - per_channel(args[3], x)) * per_channel(inverse, x) * per_channel(args[1], x) + per_channel(args[2], x);
  });
}

Kernel instance_norm(const Build& build) {
  const double epsilon = build.node.get_float("epsilon", 1e-5f);
  return one_output(
      [=](const Args& args) { return at::instance_norm(args[0], args[1], args[2], {}, {}, true, 0, epsilon, false); });
}

Kernel layer_norm(const Build& build) {
  for (std::size_t i = 1; i < build.node.outputs.size(); ++i)
    if (!build.node.outputs[i].empty()) return {};
  const std::int64_t axis = build.node.get_int("axis", -1);
  const double epsilon = build.node.get_float("epsilon", 1e-5f);
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    const std::int64_t first = axis < 0 ? axis + x.dim() : axis;
    NNQ_CHECK(first >= 0 && first < x.dim(), "axis is outside the input's rank");
    const auto shape = x.sizes().slice(static_cast<std::size_t>(first));
    const at::Tensor scale = args[1].expand(shape);
    return at::layer_norm(x, shape, scale, args.has(2) ? args[2].expand(shape) : at::Tensor(), epsilon, false);
  });
}

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(normalization) {
  add("BatchNormalization", batch_norm, "");
  add("InstanceNormalization", instance_norm, "");
  add("LayerNormalization", layer_norm, "");
}
