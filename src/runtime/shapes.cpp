#include "runtime/shapes.h"

#include <algorithm>

namespace nnq {
namespace {

/// Positions a window takes along one axis; -1 when none fits.
std::int64_t positions(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t dilation,
                       std::int64_t before, std::int64_t after) {
  const std::int64_t reach = (kernel - 1) * dilation + 1, padded = size + before + after;
  return padded < reach ? -1 : (padded - reach) / stride + 1;
}

Status window_shape(const Window& w, const Shape& input, std::int64_t kernel_h, std::int64_t kernel_w,
                    std::int64_t channels, Shape& output) {
  NNQ_REQUIRE(input.size() == 4, "expected an image [n, h, w, c], got shape ", to_string(input));
  const std::int64_t h = positions(input[1], kernel_h, w.stride_h, w.dilation_h, w.pad_top, w.pad_bottom);
  const std::int64_t x = positions(input[2], kernel_w, w.stride_w, w.dilation_w, w.pad_left, w.pad_right);
  NNQ_REQUIRE(h > 0 && x > 0, "a ", kernel_h, " x ", kernel_w, " window does not fit an image of ", input[1], " x ",
              input[2]);
  output = {input[0], h, x, channels};
  NNQ_REQUIRE(checked_count(output).has_value(), "the output ", to_string(output), " is too large");
  return {};
}

/// Every window along an axis must hold a value of the input: dilated taps can step over a small one.
Status each_window_sees(std::int64_t size, std::int64_t count, std::int64_t kernel, std::int64_t stride,
                        std::int64_t dilation, std::int64_t before) {
  for (std::int64_t p = 0; dilation > 1 && p < count; ++p) {
    const std::int64_t start = p * stride - before, skipped = start < 0 ? (-start + dilation - 1) / dilation : 0;
    NNQ_REQUIRE(skipped < kernel && start + skipped * dilation < size, "a dilated window steps over an image of ",
                size);
  }
  return {};
}

constexpr std::int64_t most_summed = ((std::int64_t{1} << 31) - 1) / 255;  // codes whose sum surely fits int32

}  // namespace

Status check_input(const ProgramValue& declared, DType dtype, const Shape& shape) {
  const ValueType& type = declared.type;
  NNQ_REQUIRE(dtype == type.dtype, "input '", declared.name, "' is ", name_of(type.dtype), ", got ", name_of(dtype));
  bool fits = !type.ranked || shape.size() == type.shape.size();
  for (std::size_t i = 0; fits && type.ranked && i < shape.size(); ++i)
    fits = !type.shape[i].known() || type.shape[i].value == shape[i];
  NNQ_REQUIRE(fits, "input '", declared.name, "' is ", type.to_string(), ", got shape ", to_string(shape));
  return {};
}

Status check_input(const ProgramValue& declared, const Tensor& given) {
  NNQ_REQUIRE(given.defined(), "input '", declared.name, "' is not given");
  return check_input(declared, given.dtype(), given.shape());
}

Status convolution_shape(const Step& step, const Shape& input, Shape& output) {
  NNQ_TRY(window_shape(step.window, input, step.window.kernel_h, step.window.kernel_w, step.out_channels, output));
  NNQ_REQUIRE(input[3] == step.in_channels, "expected ", step.in_channels, " channels, got ", input[3]);
  return {};
}

Status pool_shape(const Step& step, const Shape& input, Shape& output) {
  NNQ_REQUIRE(input.size() == 4, "expected an image [n, h, w, c], got shape ", to_string(input));
  const Window& w = step.window;
  const std::int64_t h = w.kernel_h == 0 ? input[1] : w.kernel_h, x = w.kernel_w == 0 ? input[2] : w.kernel_w;
  NNQ_TRY(window_shape(w, input, h, x, input[3], output));
  NNQ_REQUIRE(step.kind != StepKind::sum_pool || (x <= most_summed && h <= most_summed / std::max<std::int64_t>(x, 1)),
              "the sums of a ", h, " x ", x, " window could overflow 32 bits");
  NNQ_TRY(each_window_sees(input[1], output[1], h, w.stride_h, w.dilation_h, w.pad_top));
  return each_window_sees(input[2], output[2], x, w.stride_w, w.dilation_w, w.pad_left);
}

Status subsample_shape(const Step& step, const Shape& input, Shape& output) {
  NNQ_REQUIRE(input.size() == 4, "expected an image [n, h, w, c], got shape ", to_string(input));
  NNQ_REQUIRE(input[1] > step.start_h && input[2] > step.start_w, "nothing is left of an image of ", input[1], " x ",
              input[2]);
  output = {input[0], (input[1] - step.start_h - 1) / step.window.stride_h + 1,
            (input[2] - step.start_w - 1) / step.window.stride_w + 1,
            step.channels_before + input[3] + step.channels_after};
  return {};
}

Status add_shape(const Step& step, const Shape& a, const Shape& b) {
  NNQ_REQUIRE(a == b, "adds shapes ", to_string(a), " and ", to_string(b));
  NNQ_REQUIRE((a.size() == 2 || a.size() == 4) && a.back() == step.out_channels, "expected ", step.out_channels,
              " channels, got shape ", to_string(a));
  return {};
}

Status concat_shape(std::span<const Shape> inputs, Shape& output) {
  output = inputs[0];
  NNQ_REQUIRE(output.size() == 2 || output.size() == 4, "expected images or matrices, got shape ", to_string(output));
  std::int64_t channels = 0;
  for (const Shape& s : inputs) {
    Shape same = s;
    if (same.size() == output.size()) same.back() = output.back();
    NNQ_REQUIRE(same == output, "shapes ", to_string(inputs[0]), " and ", to_string(s), " do not stand side by side");
    NNQ_REQUIRE(!__builtin_add_overflow(channels, s.back(), &channels), "too many channels");
  }
  output.back() = channels;
  NNQ_REQUIRE(checked_count(output).has_value(), "the output ", to_string(output), " is too large");
  return {};
}

Status check_channels(const Step& step, const Shape& shape) {
  const Epilogue& e = step.epilogue;
  // Codes and sums have their channels last; of other ranks, dequantize reads dimension 1.
  const bool other = shape.size() > 2 && shape.size() != 4;
  const std::int64_t channels = shape.empty() ? 1 : other ? shape[1] : shape.size() == 1 ? 1 : shape.back();
  for (const std::size_t size : {e.a.size(), e.b.size(), e.direction.size(), step.min_channels.size()})
    NNQ_REQUIRE(size <= 1 || static_cast<std::int64_t>(size) == channels, "has numbers for ", size, " channels, got ",
                channels);
  const bool thresholds = step.kind == StepKind::threshold || step.kind == StepKind::add;
  NNQ_REQUIRE(!thresholds || shape.size() == 2 || shape.size() == 4, "expected an image or a matrix, got shape ",
              to_string(shape));
  return {};
}

Shape channels_last(const Shape& s) { return s.size() == 4 ? Shape{s[0], s[2], s[3], s[1]} : s; }
Shape channels_first(const Shape& s) { return s.size() == 4 ? Shape{s[0], s[3], s[1], s[2]} : s; }

}  // namespace nnq
