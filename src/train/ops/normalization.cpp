// BatchNormalization, InstanceNormalization, LayerNormalization.
#include "train/element_loops.h"
#include "train/torch_op.h"

namespace nnq::train {
namespace {

/// The reference's formula, (x - mean) / sqrt(variance + epsilon) * scale + bias in double, rounded once: the same
/// bits.
at::Tensor normalize(const at::Tensor& x, const Args& args, double epsilon) {
  const auto doubles = [&](std::size_t i) { return args[i].detach().to(at::kDouble).contiguous(); };
  const at::Tensor mean = doubles(3), bias = doubles(2), factor = doubles(1) / at::sqrt(doubles(4) + epsilon);
  const double *m = mean.data_ptr<double>(), *f = factor.data_ptr<double>(), *b = bias.data_ptr<double>();
  const std::int64_t channels = x.size(1);
  NNQ_CHECK(mean.numel() == channels && factor.numel() == channels && bias.numel() == channels,
            "one value a channel is needed");
  const bool last = x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast) && !x.is_contiguous();
  const at::Tensor in = last ? x : x.contiguous();
  at::Tensor out = at::empty_like(in);
  const float* from = in.data_ptr<float>();
  float* to = out.data_ptr<float>();
  if (in.numel() == 0) return out;
  if (last) {
    at::parallel_for(0, in.numel() / channels, kChunk / channels + 1, [&](std::int64_t begin, std::int64_t end) {
      normalize_rows(from + begin * channels, to + begin * channels, end - begin, channels, m, f, b);
    });
  } else {
    const std::int64_t plane = in.numel() / (in.size(0) * channels);
    at::parallel_for(0, in.size(0) * channels, kChunk / plane + 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        normalize_plane(from + r * plane, to + r * plane, plane, m[r % channels], f[r % channels], b[r % channels]);
    });
  }
  return out;
}

/// Training, or training_mode = 1: batch statistics; the buffers move by 1 - momentum (ONNX's momentum is the share of
/// the old value), the variance by its unbiased estimate, as everyone trains. Evaluation without gradients: the
/// reference's bits.
Kernel batch_norm(const Build& build) {
  for (std::size_t i = 1; i < build.node.outputs.size(); ++i)
    if (!build.node.outputs[i].empty()) return {};
  const double epsilon = build.node.get_float("epsilon", 1e-5f);
  const double momentum = 1 - static_cast<double>(build.node.get_float("momentum", 0.9f));
  const bool always = build.node.get_int("training_mode", 0) != 0;
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    const bool training = always || args.run.training;
    NNQ_CHECK(x.dim() >= 2, "BatchNormalization needs an input of rank 2 or more");
    if (!training && !at::GradMode::is_enabled() && x.scalar_type() == at::kFloat) return normalize(x, args, epsilon);
    return at::batch_norm(x, args[1], args[2], args[3], args[4], training, momentum, epsilon, false);
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
