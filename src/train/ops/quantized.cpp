// nnq's own operators of the deployable form (docs/quantized-graph.md): the same IEEE operations as the reference.
#include <algorithm>

#include "train/ap2.h"
#include "train/element_loops.h"
#include "train/shift_batch_norm.h"
#include "train/torch_op.h"

namespace nnq::train {
namespace {

Kernel quantize(const Build& build) {
  const auto low = static_cast<float>(build.node.get_int("min", 0)),
             high = static_cast<float>(build.node.get_int("max", 255));
  return one_output([=](const Args& args) {
    const at::Tensor x = args[0].detach();
    NNQ_CHECK(x.scalar_type() == at::kFloat && args[1].numel() == 1, "Quantize takes float32 values and one scale");
    const float scale = args[1].item<float>();
    const at::Tensor codes = map_floats(
        x, [=](const float* in, float* out, std::int64_t n) { quantize_codes(in, out, n, scale, low, high); });
    // In training these steps only stand in corrections, which have no gradient (CI-BCNN); attacks look through them.
    if (args.run.training) return codes;
    return steps_through(args[0], codes, scale, low, high, args.run.surrogate);
  });
}

Kernel sign(const Build&) {
  return one_output([](const Args& args) {
    return sign_through(args[0], map_floats(args[0].detach(), sign_codes), args.run.surrogate);
  });
}

/// The number of thresholds t with x >= t.
Kernel bucketize(const Build&) {
  return one_output([](const Args& args) {
    const at::Tensor x = args[0].detach(), thresholds = args[1].detach().contiguous();
    NNQ_CHECK(x.scalar_type() == at::kFloat && thresholds.scalar_type() == at::kFloat && thresholds.dim() == 1,
              "Bucketize takes float32 values and a list of thresholds");
    return map_floats(x, [t = thresholds.data_ptr<float>(), levels = thresholds.numel()](const float* in, float* out,
                                                                                         std::int64_t n) {
      std::fill(out, out + n, 0.0f);
      for (std::int64_t l = 0; l < levels; ++l) {
        for (std::int64_t i = 0; i < n; ++i) out[i] += in[i] >= t[l] ? 1.0f : 0.0f;
      }
    });
  });
}

/// table[c].
Kernel levels(const Build&) {
  return one_output([](const Args& args) {
    const at::Tensor codes = args[0].detach(), table = args[1].detach().contiguous();
    NNQ_CHECK(codes.scalar_type() == at::kFloat && table.scalar_type() == at::kFloat && table.dim() == 1,
              "Levels takes float32 codes and a table");
    NNQ_CHECK(codes.numel() == 0 ||
                  (codes.min().item<float>() >= 0 && codes.max().item<float>() < static_cast<float>(table.numel())),
              "Levels has codes without a level");
    return map_floats(codes, [t = table.data_ptr<float>()](const float* in, float* out, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) out[i] = t[static_cast<std::int64_t>(in[i])];
    });
  });
}

/// y = round(round(x * a[c]) + b[c]).
Kernel affine(const Build& build) {
  const std::int64_t axis = build.node.get_int("axis", 1);
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    const auto shaped = [&](const at::Tensor& t) {
      if (t.numel() == 1) return t.reshape({});
      const std::int64_t along = axis < 0 ? axis + x.dim() : axis;
      NNQ_CHECK(along >= 0 && along < x.dim() && t.numel() == x.size(along), "one coefficient a channel is needed");
      std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
      shape[static_cast<std::size_t>(along)] = t.numel();
      return t.reshape(shape);
    };
    const at::Tensor product = at::mul(x, shaped(args[1]));
    return needs_gradient(product) ? at::add(product, shaped(args[2])) : at::Tensor(product).add_(shaped(args[2]));
  });
}

/// Training: batch statistics (shift_batch_norm.h). Evaluation: y = AP2(gamma) * AP2(inverse_std) * (x - mean) + beta.
Kernel shift_normalization(const Build& build) {
  const double epsilon = build.node.get_float("epsilon", 1e-5f), momentum = build.node.get_float("momentum", 0.875f);
  const bool always = build.node.get_int("training_mode", 0) != 0;
  return one_output([=](const Args& args) {
    const at::Tensor& x = args[0];
    NNQ_CHECK(x.dim() >= 2, "ShiftBatchNormalization needs an input of rank 2 or more");
    if (always || args.run.training) {
      at::Tensor mean = args.variable(3), inverse_std = args.variable(4);
      return shift_batch_norm(x, args[1], args[2], mean, inverse_std, epsilon, momentum);
    }
    std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
    shape[1] = args[1].numel();
    const at::Tensor factor = ap2(args[1]) * ap2(args[4]);
    return factor.reshape(shape) * (x - args[3].reshape(shape)) + args[2].reshape(shape);
  });
}

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(quantized) {
  add("Quantize", quantize, kNnqDomain);
  add("Sign", sign, kNnqDomain);
  add("Bucketize", bucketize, kNnqDomain);
  add("Levels", levels, kNnqDomain);
  add("Affine", affine, kNnqDomain);
  add("ShiftBatchNormalization", shift_normalization, kNnqDomain);
}
