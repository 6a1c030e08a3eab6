// BatchNormalization (inference, and the statistics of training mode), InstanceNormalization, LayerNormalization.
#include <cmath>
#include <tuple>

#include "ops/support/check.h"
#include "ops/support/multiply.h"

namespace nnq::ops {
namespace {

/// Inputs [first, last] hold one value for each channel (axis 1 of input 0).
Status check_channels(const InferContext& ctx, std::size_t first, std::size_t last) {
  const ValueType& x = ctx.input(0);
  NNQ_REQUIRE(!x.ranked || x.shape.size() >= 2, title(ctx.node), ": the input must be [N, C, ...], got ",
              x.to_string());
  Dim channels = x.ranked ? x.shape[1] : Dim();
  for (std::size_t i = first; i <= last; ++i) {
    if (!ctx.has(i) || !ctx.input(i).ranked) continue;
    NNQ_REQUIRE(ctx.input(i).shape.size() == 1, title(ctx.node), ": input ", i, " must be [C], got ",
                ctx.input(i).to_string());
    NNQ_TRY(unify(ctx.node, "channels", channels, ctx.input(i).shape[0], channels));
  }
  return {};
}

/// Training mode (opset 14): statistics of the batch, and running ones as outputs 1 and 2.
bool in_training(const Node& node) { return node.get_int("training_mode", 0) != 0; }

Status infer_batch_norm(InferContext& ctx) {
  if (ctx.node.get_int("spatial", 1) == 0) {
    return Status::unsupported(text(title(ctx.node), ": BatchNormalization with spatial = 0 is not supported"));
  }
  const ValueType& x = ctx.input(0);
  if (x.ranked && x.shape.size() == 1) {  // allowed since opset 9: one channel
    NNQ_REQUIRE(ctx.opset >= 9, title(ctx.node), ": the input must be [N, C, ...], got ", x.to_string());
    return Status::unsupported(text(title(ctx.node), ": BatchNormalization of a vector is not supported"));
  }
  NNQ_TRY(check_channels(ctx, 1, 4));
  // Outputs beyond the first are training state; of old opsets nothing reads them at inference.
  for (std::size_t i = 1; i < ctx.outputs.size(); ++i) {
    NNQ_REQUIRE(ctx.node.outputs[i].empty() || ctx.opset < 14 || (in_training(ctx.node) && i < 3), title(ctx.node),
                ": more than one output needs training mode");
    set_output(ctx, i, ctx.input(std::min<std::size_t>(i + 2, 4)));
  }
  return infer_same(ctx);
}

/// Mean and variance of channel c over batch and space, in double.
std::pair<double, double> batch_statistics(const TensorView& x, std::int64_t c) {
  const Dims dims(x.shape);
  const std::int64_t plane = dims.product(2, dims.size());
  double block[kBlock];
  const auto average = [&](auto term) {
    double total = 0;
    for (std::int64_t n = 0; n < dims[0]; ++n) {
      for (std::int64_t i = 0; i < plane; i += kBlock) {
        const std::int64_t count = std::min(kBlock, plane - i);
        load_doubles(x.dtype, x.data, (n * dims[1] + c) * plane + i, 1, count, block, 1);
        for (std::int64_t j = 0; j < count; ++j) total += term(block[j]);
      }
    }
    return total / static_cast<double>(dims[0] * plane);
  };
  const double mean = average([](double v) { return v; });
  return {mean, average([mean](double v) { return (v - mean) * (v - mean); })};
}

/// Running statistic: momentum * old + (1 - momentum) * of this batch.
void update_running(const EvalContext& ctx, std::size_t output, std::size_t input, std::int64_t c, double now) {
  if (output >= ctx.outputs.size() || ctx.outputs[output] == nullptr) return;
  const auto momentum = static_cast<double>(ctx.node.get_float("momentum", 0.9F));
  const double value = momentum * at<double>(ctx.input(input), c) + (1 - momentum) * now;
  store<double>(ctx.output(output).dtype, ctx.output(output).data, c, 1, &value);
}

/// y = (x - mean) / sqrt(variance + epsilon) * scale + bias, computed in double and rounded once.
Status evaluate_batch_norm(EvalContext& ctx) {
  const TensorView& x = ctx.input(0);
  const Dims dims(x.shape);
  const std::int64_t channels = dims[1], plane = dims.product(2, dims.size());
  const auto epsilon = static_cast<double>(ctx.node.get_float("epsilon", 1e-5F));
  const bool training = in_training(ctx.node);
  for (std::size_t i = 1; i < ctx.outputs.size() && !training; ++i) {
    if (ctx.outputs[i] != nullptr) convert(ctx.input(std::min<std::size_t>(i + 2, 4)), ctx.output(i));
  }
  double block[kBlock];
  for (std::int64_t c = 0; c < channels; ++c) {
    auto mean = at<double>(ctx.input(3), c), variance = at<double>(ctx.input(4), c);
    if (training) {
      std::tie(mean, variance) = batch_statistics(x, c);
      update_running(ctx, 1, 3, c, mean);
      update_running(ctx, 2, 4, c, variance);
    }
    const double factor = at<double>(ctx.input(1), c) / std::sqrt(variance + epsilon);
    const auto bias = at<double>(ctx.input(2), c);
    for (std::int64_t n = 0; n < dims[0] && ctx.outputs[0] != nullptr; ++n) {
      for (std::int64_t i = 0; i < plane; i += kBlock) {
        const std::int64_t count = std::min(kBlock, plane - i), at_i = (n * channels + c) * plane + i;
        load_doubles(x.dtype, x.data, at_i, 1, count, block, 1);
        for (std::int64_t j = 0; j < count; ++j) block[j] = (block[j] - mean) * factor + bias;
        store<double>(ctx.output(0).dtype, ctx.output(0).data, at_i, count, block);
      }
    }
  }
  return {};
}

struct Moments {
  double mean = 0;
  double inverse_deviation = 0;
};

/// Two passes in double: mean, then mean squared distance from it.
Moments moments(const TensorView& x, std::int64_t offset, std::int64_t count, double epsilon) {
  double block[kBlock];
  const auto sum = [&](auto term) {
    double total = 0;
    for (std::int64_t i = 0; i < count; i += kBlock) {
      const std::int64_t n = std::min(kBlock, count - i);
      load_doubles(x.dtype, x.data, offset + i, 1, n, block, 1);
      for (std::int64_t j = 0; j < n; ++j) total += term(block[j]);
    }
    return total / static_cast<double>(count);
  };
  const double mean = sum([](double v) { return v; });
  const double variance = sum([mean](double v) { return (v - mean) * (v - mean); });
  return {mean, 1.0 / std::sqrt(variance + epsilon)};
}

Status infer_instance_norm(InferContext& ctx) {
  NNQ_TRY(check_channels(ctx, 1, 2));
  return infer_same(ctx);
}

Status evaluate_instance_norm(EvalContext& ctx) {
  const TensorView &x = ctx.input(0), &y = ctx.output(0);
  const Dims dims(x.shape);
  const std::int64_t channels = dims[1], plane = dims.product(2, dims.size());
  const auto epsilon = static_cast<double>(ctx.node.get_float("epsilon", 1e-5F));
  double block[kBlock];
  for (std::int64_t row = 0; row < dims[0] * channels; ++row) {
    const Moments m = moments(x, row * plane, plane, epsilon);
    const auto scale = at<double>(ctx.input(1), row % channels), bias = at<double>(ctx.input(2), row % channels);
    for (std::int64_t i = 0; i < plane; i += kBlock) {
      const std::int64_t n = std::min(kBlock, plane - i);
      load_doubles(x.dtype, x.data, row * plane + i, 1, n, block, 1);
      for (std::int64_t j = 0; j < n; ++j) block[j] = (block[j] - m.mean) * m.inverse_deviation * scale + bias;
      store<double>(y.dtype, y.data, row * plane + i, n, block);
    }
  }
  return {};
}

Status infer_layer_norm(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  const std::int64_t stash = ctx.node.get_int("stash_type", 1);
  NNQ_REQUIRE(stash == 1 || stash == 11, title(ctx.node), ": stash_type must be 1 (float32) or 11 (float64), got ",
              stash);
  const DType stash_type = stash == 11 ? DType::f64 : DType::f32;
  set_output(ctx, 0, x);
  if (!x.ranked) {
    set_output(ctx, 1, unranked(stash_type));
    set_output(ctx, 2, unranked(stash_type));
    return {};
  }
  std::int64_t axis = 0;
  NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", -1), static_cast<std::int64_t>(x.shape.size()), axis));
  const SymbolicShape normalized(x.shape.begin() + axis, x.shape.end());
  for (std::size_t i = 1; i < 3; ++i) {  // scale and bias broadcast to the normalized dims
    if (!ctx.has(i) || !ctx.input(i).ranked) continue;
    SymbolicShape joined;
    NNQ_TRY(broadcast(ctx.node, normalized, ctx.input(i).shape, joined));
    bool grows = joined.size() != normalized.size();
    for (std::size_t d = 0; d < normalized.size() && !grows; ++d)
      grows = normalized[d].known() && joined[d] != normalized[d];
    NNQ_REQUIRE(!grows, title(ctx.node), ": input ", i, " ", ctx.input(i).to_string(), " does not broadcast to ",
                to_string(normalized));
  }
  SymbolicShape statistics = x.shape;
  for (std::size_t d = static_cast<std::size_t>(axis); d < statistics.size(); ++d) statistics[d] = Dim(1);
  set_output(ctx, 1, ranked(stash_type, statistics));
  set_output(ctx, 2, ranked(stash_type, statistics));
  return {};
}

Status evaluate_layer_norm(EvalContext& ctx) {
  const TensorView& x = ctx.input(0);
  const Dims dims(x.shape);
  std::int64_t axis = 0;
  NNQ_TRY(normalize_axis(ctx.node, ctx.node.get_int("axis", -1), static_cast<std::int64_t>(dims.size()), axis));
  const auto a = static_cast<std::size_t>(axis);
  Dims normalized;
  for (std::size_t i = a; i < dims.size(); ++i) normalized.push_back(dims[i]);
  const Dims scale_strides = broadcast_strides(ctx.input(1).shape, normalized);
  const Dims bias_strides = ctx.has(2) ? broadcast_strides(ctx.input(2).shape, normalized) : Dims(normalized.size(), 0);
  const std::int64_t rows = dims.product(0, a), count = normalized.product();
  const auto epsilon = static_cast<double>(ctx.node.get_float("epsilon", 1e-5F));
  for (std::int64_t row = 0; row < rows; ++row) {
    const Moments m = moments(x, row * count, count, epsilon);
    const double statistics[2] = {m.mean, m.inverse_deviation};
    for (std::size_t k = 1; k < ctx.outputs.size(); ++k) {
      if (ctx.outputs[k] != nullptr) store<double>(ctx.output(k).dtype, ctx.output(k).data, row, 1, &statistics[k - 1]);
    }
    if (ctx.outputs[0] == nullptr) continue;
    double value[kBlock], scale[kBlock], bias[kBlock] = {};
    for_each_row<3>(
        normalized, {row_major(normalized), scale_strides, bias_strides},
        [&](const auto& offset, std::int64_t length, const auto& step) {
          for (std::int64_t i = 0; i < length; i += kBlock) {
            const std::int64_t n = std::min(kBlock, length - i);
            load_doubles(x.dtype, x.data, row * count + offset[0] + i, 1, n, value, 1);
            load_doubles(ctx.input(1).dtype, ctx.input(1).data, offset[1] + i * step[1], step[1], n, scale, 1);
            if (ctx.has(2))
              load_doubles(ctx.input(2).dtype, ctx.input(2).data, offset[2] + i * step[2], step[2], n, bias, 1);
            for (std::int64_t j = 0; j < n; ++j)
              value[j] = (value[j] - m.mean) * m.inverse_deviation * scale[j] + bias[j];
            store<double>(ctx.output(0).dtype, ctx.output(0).data, row * count + offset[0] + i, n, value);
          }
        });
  }
  return {};
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(normalization) {
  const Formal channel{kFloat};
  add(define("BatchNormalization",
             {.inputs = {{kFloat}, channel, channel, channel, channel},
              .max_outputs = 5,
              .attributes = "epsilon:f momentum:f training_mode:i spatial:i"},
             infer_batch_norm, evaluate_batch_norm));
  add(define("InstanceNormalization", {.inputs = {{kFloat}, channel, channel}, .attributes = "epsilon:f"},
             infer_instance_norm, evaluate_instance_norm));
  add(define(
      "LayerNormalization",
      {.inputs = {{kFloat}, channel, {kFloat, true}}, .max_outputs = 3, .attributes = "axis:i epsilon:f stash_type:i"},
      infer_layer_norm, evaluate_layer_norm));
}
