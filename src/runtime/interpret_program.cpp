// The reference interpreter: the definition in code of what every step means. Plain loops; codes and accumulators are
// int32 in NHWC, as docs/program.md speaks of them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "nnq/program.h"
#include "runtime/real_planes_steps.h"
#include "runtime/shapes.h"
#include "runtime/vector_steps.h"

namespace nnq {
namespace {

using Ints = std::vector<std::int32_t>;

/// A value while interpreting: an ONNX tensor, or integers with their shape in NHWC (rank 4) or row-major order.
struct Value {
  Tensor tensor;
  Ints integers;
  Shape shape;  // of integers
};

float affine(std::int32_t v, float a, float b) {
  const float product = static_cast<float>(v) * a;
  return product + b;
}

float pick(const std::vector<float>& values, std::int64_t c) {
  return values[values.size() == 1 ? 0 : static_cast<std::size_t>(c)];
}

std::int32_t quantized(float x, float scale, std::int32_t min, std::int32_t max) {
  const float steps = std::nearbyint(x / scale);
  if (!(steps > static_cast<float>(min))) return min;  // also NaN
  return steps >= static_cast<float>(max) ? max : static_cast<std::int32_t>(steps);
}

std::int32_t passed(const Epilogue& e, std::int32_t s, std::int64_t c) {
  if (e.direction.size() == 1) c = 0;
  const std::int32_t* t = e.thresholds.data() + c * e.levels;
  std::int32_t count = 0;
  for (std::int32_t i = 0; i < e.levels; ++i) {
    // Thresholds that never pass are the extreme of the other side.
    if (e.direction[static_cast<std::size_t>(c)] > 0
            ? (s >= t[i] && t[i] != std::numeric_limits<std::int32_t>::max())
            : (s <= t[i] && t[i] != std::numeric_limits<std::int32_t>::min())) {
      ++count;
    }
  }
  return e.first + e.step * count;
}

/// NHWC (or row-major) integers of shape `shape` as an ONNX-layout float tensor by f(value, channel).
template <class F>
Tensor to_tensor(const Ints& values, const Shape& shape, F&& f) {
  if (shape.size() != 4) {
    Tensor out(DType::f32, shape);
    const std::int64_t channels = shape.size() >= 2 ? shape[1] : 1;
    std::int64_t inner = 1;
    for (std::size_t d = 2; d < shape.size(); ++d) inner *= shape[d];
    for (std::int64_t i = 0; i < out.count(); ++i)
      out.mutable_as<float>()[i] =
          f(i, values[static_cast<std::size_t>(i)], i / inner % std::max<std::int64_t>(channels, 1));
    return out;
  }
  const std::int64_t n = shape[0], h = shape[1], w = shape[2], c = shape[3];
  Tensor out(DType::f32, {n, c, h, w});
  float* data = out.mutable_as<float>();
  for (std::int64_t i = 0; i < n * h * w; ++i) {
    for (std::int64_t k = 0; k < c; ++k) {
      data[(i / (h * w) * c + k) * h * w + i % (h * w)] = f(i * c + k, values[static_cast<std::size_t>(i * c + k)], k);
    }
  }
  return out;
}

class Interpreter {
 public:
  Interpreter(const Program& program, const std::function<void(std::int32_t, const Tensor&)>& observe)
      : program_(program), observe_(observe), values_(program.values.size()) {}

  Status run(std::span<const Tensor> inputs, std::vector<Tensor>& outputs) {
    NNQ_REQUIRE(inputs.size() == program_.inputs.size(), "the model has ", program_.inputs.size(), " inputs, got ",
                inputs.size());
    for (const auto& [number, tensor] : program_.constants) at(number).tensor = tensor;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      NNQ_TRY(check_input(program_.values[static_cast<std::size_t>(program_.inputs[i])], inputs[i]));
      at(program_.inputs[i]).tensor = inputs[i];
    }
    for (const Step& step : program_.steps) {
      if (Status status = execute(step); !status.ok())
        return {status.code(), text("step '", step.name, "': ", status.message())};
      if (observe_) report(step);
    }
    outputs.clear();
    for (const std::int32_t number : program_.outputs) outputs.push_back(at(number).tensor);
    return {};
  }

 private:
  Value& at(std::int32_t number) { return values_[static_cast<std::size_t>(number)]; }
  Value& in(const Step& step, std::size_t i) { return at(step.inputs[i]); }
  const CodeType& code_of(std::int32_t number) const { return program_.values[static_cast<std::size_t>(number)].code; }

  Status execute(const Step& step) {
    switch (step.kind) {
      case StepKind::quantize:
        return quantize(step);
      case StepKind::dequantize:
        return dequantize(step);
      case StepKind::convolution:
        return convolution(step);
      case StepKind::dense:
        return dense(step);
      case StepKind::threshold: {
        const Value& x = in(step, 0);
        NNQ_TRY(check_channels(step, x.shape));
        return finish(step, x.integers, x.shape);
      }
      case StepKind::max_pool:
        return max_pool(step);
      case StepKind::sum_pool:
        return sum_pool(step);
      case StepKind::subsample:
        return subsample(step);
      case StepKind::add:
        return add(step);
      case StepKind::concat:
        return concat(step);
      case StepKind::float_op:
        return float_op(step);
      case StepKind::bucketize:
        return to_codes(step, [&](float x) { return bucket_of(step.planes.thresholds, x); });
      case StepKind::levels:
        return levels(step);
      case StepKind::plane_convolution:
      case StepKind::plane_dense:
        return planes(step);
      case StepKind::vector_lookup:
      case StepKind::vector_levels:
      case StepKind::vector_dense:
      case StepKind::recurrent:
      case StepKind::vector_quantize:
        return vectors(step);
    }
    return {StatusCode::internal, "unknown step"};
  }

  Status quantize(const Step& step) {
    const CodeType& code = code_of(step.outputs[0]);
    return to_codes(
        step, [&](float x) { return code.sign ? (x >= 0 ? 1 : -1) : quantized(x, step.scale, code.min, code.max); });
  }

  /// A float32 tensor to integers by code_of(x); images turn from NCHW to NHWC.
  template <class F>
  Status to_codes(const Step& step, F&& code_of_value) {
    const Tensor& x = in(step, 0).tensor;
    Value& out = at(step.outputs[0]);
    NNQ_REQUIRE(x.dtype() == DType::f32, name_of(step.kind), " expects float32, got ", name_of(x.dtype()));
    out.integers.resize(static_cast<std::size_t>(x.count()));
    out.shape = x.shape();
    const bool image = x.rank() == 4;
    if (image) out.shape = {x.shape()[0], x.shape()[2], x.shape()[3], x.shape()[1]};
    const float* data = x.as<float>();
    for (std::int64_t i = 0; i < x.count(); ++i) {
      std::int64_t to = i;
      if (image) {
        const std::int64_t plane = x.shape()[2] * x.shape()[3], c = x.shape()[1];
        to = (i / (plane * c) * plane + i % plane) * c + i / plane % c;
      }
      out.integers[static_cast<std::size_t>(to)] = code_of_value(data[i]);
    }
    return {};
  }

  Status levels(const Step& step) {
    const Value& x = in(step, 0);
    const std::int32_t min = code_of(step.inputs[0]).min;
    at(step.outputs[0]).tensor = to_tensor(x.integers, x.shape, [&](std::int64_t, std::int32_t v, std::int64_t) {
      return step.planes.levels[static_cast<std::size_t>(v - min)];
    });
    return {};
  }

  Status planes(const Step& step) {
    const Value& x = in(step, 0);
    Shape shape;
    std::vector<float> y;
    NNQ_TRY(plane_sums(step, code_of(step.inputs[0]), x.integers, x.shape, shape, y));
    const Tensor* residual = step.inputs.size() > 1 ? &in(step, 1).tensor : nullptr;
    NNQ_REQUIRE(residual == nullptr || (residual->dtype() == DType::f32 && residual->shape() == channels_first(shape)),
                "the residual does not have the shape of the layer, ", to_string(channels_first(shape)));
    const std::int64_t channels = shape.back(), plane = shape.size() == 4 ? shape[1] * shape[2] : 1;
    Ints codes(y.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
      const auto at_y = static_cast<std::int64_t>(i);
      const std::int64_t c = at_y % channels, position = at_y / channels;
      const std::int64_t onnx = (position / plane * channels + c) * plane + position % plane;
      y[i] = plane_tail(step, y[i], c, residual == nullptr ? nullptr : residual->as<float>() + onnx);
    }
    Value& out = at(step.outputs[0]);
    if (program_.values[static_cast<std::size_t>(step.outputs[0])].kind == ValueKind::tensor) {
      out.tensor = to_tensor(
          codes, shape, [&](std::int64_t i, std::int32_t, std::int64_t) { return y[static_cast<std::size_t>(i)]; });
      return {};
    }
    const Epilogue& e = step.epilogue;
    const bool sign = code_of(step.outputs[0]).sign, by_scale = e.kind == Epilogue::Kind::requantize;
    for (std::size_t i = 0; i < y.size(); ++i)
      codes[i] = !by_scale ? bucket_of(step.planes.thresholds, y[i])
                 : sign    ? (y[i] >= 0 ? 1 : -1)
                           : quantized(y[i], e.scale, e.min, e.max);
    out.integers = std::move(codes);
    out.shape = shape;
    return {};
  }

  Status vectors(const Step& step) {
    std::vector<Shape> shapes;
    for (const std::int32_t v : step.inputs) {
      if (v < 0) {
        shapes.emplace_back();
        continue;
      }
      const bool tensor = program_.values[static_cast<std::size_t>(v)].kind == ValueKind::tensor;
      const DType expected = step.kind == StepKind::vector_lookup ? DType::i64 : DType::f32;
      NNQ_REQUIRE(!tensor || at(v).tensor.dtype() == expected, name_of(step.kind), " expects ", name_of(expected),
                  ", got ", name_of(at(v).tensor.dtype()));
      shapes.push_back(tensor ? at(v).tensor.shape() : at(v).shape);
    }
    VectorShapes made;
    NNQ_TRY(vector_shapes(program_, step, shapes, made));
    const auto tensor_or_none = [&](std::size_t i) -> const Tensor* {
      return i < step.inputs.size() && step.inputs[i] >= 0 ? &in(step, i).tensor : nullptr;
    };
    Value& first = at(step.outputs[0]);
    if (step.kind == StepKind::vector_levels || step.kind == StepKind::vector_dense) {
      first.tensor = Tensor(DType::f32, made.codes);
      if (step.kind == StepKind::vector_levels)
        interpret_levels(in(step, 0).integers, in(step, 1).tensor, is_uniform(code_of(step.inputs[0])), first.tensor);
      else
        interpret_dense(step, in(step, 0).integers, in(step, 1).tensor, is_uniform(code_of(step.inputs[0])),
                        first.tensor);
      return {};
    }
    VectorOutputs out;
    if (step.kind == StepKind::vector_lookup)
      NNQ_TRY(interpret_lookup(step, in(step, 0).tensor, out));
    else if (step.kind == StepKind::vector_quantize)
      interpret_quantize(step, in(step, 0).tensor, out);
    else
      interpret_recurrent(step, in(step, 0).integers, in(step, 1).tensor, tensor_or_none(2), tensor_or_none(3), out);
    first.integers = std::move(out.codes);
    first.shape = made.codes;
    at(step.outputs[1]).tensor = out.scales;
    if (step.outputs.size() > 2 && step.outputs[2] >= 0) at(step.outputs[2]).tensor = out.state;
    if (step.outputs.size() > 3 && step.outputs[3] >= 0) at(step.outputs[3]).tensor = out.cell;
    return {};
  }

  Status dequantize(const Step& step) {
    const Value& x = in(step, 0);
    NNQ_TRY(check_channels(step, x.shape));
    at(step.outputs[0]).tensor = to_tensor(x.integers, x.shape, [&](std::int64_t, std::int32_t v, std::int64_t c) {
      return affine(v, pick(step.epilogue.a, c), pick(step.epilogue.b, c));
    });
    return {};
  }

  /// Applies the step's epilogue to sums of shape `shape` (channels last) and stores its output.
  Status finish(const Step& step, const Ints& sums, const Shape& shape) {
    const Epilogue& e = step.epilogue;
    Value& out = at(step.outputs[0]);
    const std::int64_t channels = shape.empty() ? 1 : shape.back();
    const Value* residual = e.residual_a.empty() ? nullptr : &in(step, 1);
    NNQ_REQUIRE(residual == nullptr || residual->shape == shape, "the residual has shape ", to_string(residual->shape),
                ", the layer ", to_string(shape));
    const auto real = [&](std::int64_t i, std::int32_t s, std::int64_t c) {
      float y = affine(s, pick(e.a, c), pick(e.b, c));
      if (residual != nullptr)
        y += affine(residual->integers[static_cast<std::size_t>(i)], pick(e.residual_a, c), pick(e.residual_b, c));
      return e.relu && !(y > 0) ? 0.0f : y;
    };
    if (e.kind == Epilogue::Kind::affine) {
      out.tensor = to_tensor(sums, shape, real);
      return {};
    }
    out.shape = shape;
    out.integers.resize(sums.size());
    const bool sign = code_of(step.outputs[0]).sign;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const std::int64_t c = static_cast<std::int64_t>(i) % channels;
      switch (e.kind) {
        case Epilogue::Kind::thresholds:
          out.integers[i] = passed(e, sums[i], c);
          break;
        case Epilogue::Kind::requantize: {
          const float y = real(static_cast<std::int64_t>(i), sums[i], c);
          out.integers[i] = sign ? (y >= 0 ? 1 : -1) : quantized(y, e.scale, e.min, e.max);
          break;
        }
        default:
          out.integers[i] = sums[i];
      }
    }
    return {};
  }

  Status convolution(const Step& step) {
    const Value& x = in(step, 0);
    Shape shape;
    NNQ_TRY(convolution_shape(step, x.shape, shape));
    const std::vector<std::int8_t> weights = step.weights.unpack();
    const Window& w = step.window;
    const std::int64_t group_in = step.in_channels / step.groups, group_out = step.out_channels / step.groups;
    Ints sums(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]));
    std::size_t at_sum = 0;
    for (std::int64_t n = 0; n < shape[0]; ++n) {
      for (std::int64_t oy = 0; oy < shape[1]; ++oy) {
        for (std::int64_t ox = 0; ox < shape[2]; ++ox) {
          for (std::int64_t o = 0; o < step.out_channels; ++o) {
            const std::int64_t first = o / group_out * group_in;
            std::int32_t sum = 0;
            for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
              for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
                const std::int64_t y = oy * w.stride_h + ky * w.dilation_h - w.pad_top,
                                   xx = ox * w.stride_w + kx * w.dilation_w - w.pad_left;
                const bool inside = y >= 0 && y < x.shape[1] && xx >= 0 && xx < x.shape[2];
                const std::int8_t* row = weights.data() + ((o * w.kernel_h + ky) * w.kernel_w + kx) * group_in;
                const std::int32_t* values =
                    inside ? x.integers.data() + ((n * x.shape[1] + y) * x.shape[2] + xx) * step.in_channels + first
                           : nullptr;
                for (std::int64_t i = 0; i < group_in; ++i) sum += row[i] * (inside ? values[i] : step.pad_value);
              }
            }
            sums[at_sum++] = sum;
          }
        }
      }
    }
    return finish(step, sums, shape);
  }

  Status dense(const Step& step) {
    const Value& x = in(step, 0);
    NNQ_REQUIRE(!x.shape.empty(), "a dense layer needs a batch");
    const std::int64_t rows = x.shape[0];
    NNQ_REQUIRE(static_cast<std::int64_t>(x.integers.size()) == rows * step.in_channels, "expected ", step.in_channels,
                " inputs a row, got shape ", to_string(x.shape));
    const std::vector<std::int8_t> weights = step.weights.unpack();
    Ints sums(static_cast<std::size_t>(rows * step.out_channels));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t o = 0; o < step.out_channels; ++o) {
        std::int32_t sum = 0;
        for (std::int64_t i = 0; i < step.in_channels; ++i)
          sum += weights[static_cast<std::size_t>(o * step.in_channels + i)] *
                 x.integers[static_cast<std::size_t>(r * step.in_channels + i)];
        sums[static_cast<std::size_t>(r * step.out_channels + o)] = sum;
      }
    }
    return finish(step, sums, {rows, step.out_channels});
  }

  Status max_pool(const Step& step) {
    const Value& x = in(step, 0);
    Shape shape;
    NNQ_TRY(pool_shape(step, x.shape, shape));
    NNQ_TRY(check_channels(step, x.shape));
    Value& out = at(step.outputs[0]);
    const Window& w = step.window;
    const std::int64_t channels = x.shape[3];
    Ints result(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * channels));
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(result.size()); ++i) {
      const std::int64_t c = i % channels, ox = i / channels % shape[2], oy = i / channels / shape[2] % shape[1],
                         n = i / channels / shape[2] / shape[1];
      const bool minimum = !step.min_channels.empty() && step.min_channels[static_cast<std::size_t>(c)] != 0;
      bool any = false;
      std::int32_t best = 0;
      for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
        for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
          const std::int64_t y = oy * w.stride_h + ky * w.dilation_h - w.pad_top,
                             xx = ox * w.stride_w + kx * w.dilation_w - w.pad_left;
          if (y < 0 || y >= x.shape[1] || xx < 0 || xx >= x.shape[2]) continue;
          const std::int32_t v =
              x.integers[static_cast<std::size_t>(((n * x.shape[1] + y) * x.shape[2] + xx) * channels + c)];
          best = !any ? v : minimum ? std::min(best, v) : std::max(best, v);
          any = true;
        }
      }
      result[static_cast<std::size_t>(i)] = best;
    }
    out.integers = std::move(result);
    out.shape = shape;
    return {};
  }

  Status sum_pool(const Step& step) {
    const Value& x = in(step, 0);
    Shape shape;
    NNQ_TRY(pool_shape(step, x.shape, shape));
    NNQ_TRY(check_channels(step, x.shape));
    const Window& w = step.window;
    const std::int64_t channels = x.shape[3], kernel_h = w.kernel_h == 0 ? x.shape[1] : w.kernel_h,
                       kernel_w = w.kernel_w == 0 ? x.shape[2] : w.kernel_w;
    Tensor out(DType::f32, {shape[0], channels, shape[1], shape[2]});
    float* data = out.mutable_as<float>();
    for (std::int64_t i = 0; i < out.count(); ++i) {
      const std::int64_t ox = i % shape[2], oy = i / shape[2] % shape[1], c = i / shape[2] / shape[1] % channels,
                         n = i / shape[2] / shape[1] / channels;
      std::int32_t sum = 0, inside = 0;
      for (std::int64_t ky = 0; ky < kernel_h; ++ky) {
        for (std::int64_t kx = 0; kx < kernel_w; ++kx) {
          const std::int64_t y = oy * w.stride_h + ky - w.pad_top, xx = ox * w.stride_w + kx - w.pad_left;
          if (y < 0 || y >= x.shape[1] || xx < 0 || xx >= x.shape[2]) continue;
          sum += x.integers[static_cast<std::size_t>(((n * x.shape[1] + y) * x.shape[2] + xx) * channels + c)];
          ++inside;
        }
      }
      const float mean = static_cast<float>(sum) /
                         static_cast<float>(step.count_pad ? static_cast<std::int32_t>(kernel_h * kernel_w) : inside);
      const float product = mean * pick(step.epilogue.a, c);
      data[i] = product + pick(step.epilogue.b, c);
    }
    at(step.outputs[0]).tensor = out;
    return {};
  }

  Status subsample(const Step& step) {
    const Value& x = in(step, 0);
    Shape shape;
    NNQ_TRY(subsample_shape(step, x.shape, shape));
    Value& out = at(step.outputs[0]);
    const std::int64_t channels = x.shape[3];
    Ints result(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]), 0);
    for (std::int64_t i = 0; i < shape[0] * shape[1] * shape[2]; ++i) {
      const std::int64_t ox = i % shape[2], oy = i / shape[2] % shape[1], n = i / shape[2] / shape[1];
      const std::int64_t from = ((n * x.shape[1] + step.start_h + oy * step.window.stride_h) * x.shape[2] +
                                 step.start_w + ox * step.window.stride_w) *
                                channels;
      std::copy_n(x.integers.begin() + from, channels, result.begin() + i * shape[3] + step.channels_before);
    }
    out.integers = std::move(result);
    out.shape = shape;
    return {};
  }

  Status add(const Step& step) {
    const Value &x = in(step, 0), &y = in(step, 1);
    NNQ_TRY(add_shape(step, x.shape, y.shape));
    NNQ_TRY(check_channels(step, x.shape));
    Ints sums(x.integers.size());
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = x.integers[i] + y.integers[i];
    return finish(step, sums, x.shape);
  }

  Status concat(const Step& step) {
    std::vector<Shape> shapes;
    for (const std::int32_t v : step.inputs) shapes.push_back(at(v).shape);
    Shape shape;
    NNQ_TRY(concat_shape(shapes, shape));
    Ints result(static_cast<std::size_t>(*checked_count(shape)));
    std::int64_t channel = 0;
    for (const std::int32_t v : step.inputs) {
      const Value& x = at(v);
      const std::int64_t n = x.shape.back();
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(x.integers.size()); ++i)
        result[static_cast<std::size_t>(i / n * shape.back() + channel + i % n)] =
            x.integers[static_cast<std::size_t>(i)];
      channel += n;
    }
    at(step.outputs[0]).integers = std::move(result);
    at(step.outputs[0]).shape = shape;
    return {};
  }

  Status float_op(const Step& step) {
    std::vector<Tensor> inputs, outputs;
    for (const std::int32_t number : step.inputs) inputs.push_back(number < 0 ? Tensor() : at(number).tensor);
    NNQ_TRY(evaluate_node(step.node, step.opset, inputs, outputs));
    for (std::size_t i = 0; i < step.outputs.size() && i < outputs.size(); ++i) {
      if (step.outputs[i] >= 0) at(step.outputs[i]).tensor = outputs[i];
    }
    return {};
  }

  void report(const Step& step) {
    for (const std::int32_t number : step.outputs) {
      if (number < 0) continue;
      const Value& v = at(number);
      if (program_.values[static_cast<std::size_t>(number)].kind == ValueKind::tensor) {
        observe_(number, v.tensor);
      } else {
        observe_(number, to_tensor(v.integers, v.shape, [](std::int64_t, std::int32_t value, std::int64_t) {
                           return static_cast<float>(value);
                         }).cast(DType::i32));
      }
    }
  }

  const Program& program_;
  const std::function<void(std::int32_t, const Tensor&)>& observe_;
  std::vector<Value> values_;
};

}  // namespace

Status interpret_program(const Program& program, std::span<const Tensor> inputs, std::vector<Tensor>& outputs,
                         const std::function<void(std::int32_t, const Tensor&)>& observe) {
  return Interpreter(program, observe).run(inputs, outputs);
}

}  // namespace nnq
