// The ai.nnq operators in terms of standard ones (docs/quantized-graph.md states their meaning; here it is spelled so
// that any ONNX runtime computes it). Written in ONNX's text form; @SUM@ stands for the summation over axis 0, which
// changed with opset 13.
#include <fmt/format.h>

#include <span>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <onnx/defs/parser.h>
#pragma GCC diagnostic pop

#include "nnq/error.h"
#include "onnx/function_bodies.h"
#include "onnx/local_functions.h"

namespace nnq::onnx_format {
namespace {

/// a, b [1] or [C] as [-1, 1, 1, ...] so that they meet axis `axis` (from the end when negative) of x.
constexpr const char* align_to_axis = R"(
  shape_of_x = Shape (x)
  rank_of_x = Size (shape_of_x)
  no_ones = Constant <value_int: int = 0> ()
  one = Constant <value_int: int = 1> ()
  from_end = Less (axis, no_ones)
  axis_from_end = Add (axis, rank_of_x)
  true_axis = Where (from_end, axis_from_end, axis)
  behind_axis = Sub (rank_of_x, true_axis)
  behind_but_one = Sub (behind_axis, one)
  trailing = Max (behind_but_one, no_ones)
  one_value = Constant <value = int64[1] {1}> ()
  trailing_1d = Reshape (trailing, one_value)
  ones = ConstantOfShape <value = int64[1] {1}> (trailing_1d)
  minus_one = Constant <value = int64[1] {-1}> ()
  aligned = Concat <axis = 0> (minus_one, ones)
)";

/// planes uint8 [K, B] -> bits float [K, 8 B]; bit i of byte j is element 8 j + i. Looked up in a table of all bytes: a
/// runtime that folds constants holds one array of the weights' size, not one for each step of the arithmetic.
constexpr const char* unpack_bits = R"(
  first_byte = Constant <value_float: float = 0.0> ()
  byte_count = Constant <value_float: float = 256.0> ()
  byte_step = Constant <value_float: float = 1.0> ()
  every_byte = Range (first_byte, byte_count, byte_step)
  byte_column_shape = Constant <value = int64[2] {-1, 1}> ()
  byte_column = Reshape (every_byte, byte_column_shape)
  powers = Constant <value = float[8] {1, 2, 4, 8, 16, 32, 64, 128}> ()
  two = Constant <value = float[1] {2}> ()
  shifted = Div (byte_column, powers)
  whole = Floor (shifted)
  half = Div (whole, two)
  half_whole = Floor (half)
  even = Mul (half_whole, two)
  bits_of_byte = Sub (whole, even)
  bytes = Cast <to = 6> (planes)
  bits_3d = Gather <axis = 0> (bits_of_byte, bytes)
  flat_shape = Constant <value = int64[2] {0, -1}> ()
  padded_bits = Reshape (bits_3d, flat_shape)
  zero_start = Constant <value = int64[1] {0}> ()
  axis_1 = Constant <value = int64[1] {1}> ()
  count = ReduceProd <keepdims = 1> (shape)
  bits = Slice (padded_bits, zero_start, count, axis_1)
)";

constexpr Body bodies[] = {
    {"Quantize", "<min, max, bits> (x, scale) => (v)", R"({
  min_int = Constant <value_int: int = @min> ()
  max_int = Constant <value_int: int = @max> ()
  min_float = Cast <to = 1> (min_int)
  max_float = Cast <to = 1> (max_int)
  steps = Div (x, scale)
  rounded = Round (steps)
  is_above = Greater (rounded, min_float)
  above = Where (is_above, rounded, min_float)
  is_below = Less (above, max_float)
  v = Where (is_below, above, max_float)
})"},
    {"Sign", "(x) => (v)", R"({
  zero = Constant <value_float: float = 0.0> ()
  plus = Constant <value_float: float = 1.0> ()
  minus = Constant <value_float: float = -1.0> ()
  above = Greater (x, zero)
  at_zero = Equal (x, zero)
  positive = Or (above, at_zero)
  v = Where (positive, plus, minus)
})"},
    {"Bucketize", "<bits> (x, thresholds) => (v)", R"({
  last = Constant <value = int64[1] {-1}> ()
  column = Unsqueeze (x, last)
  passed = GreaterOrEqual (column, thresholds)
  counted = Cast <to = 1> (passed)
  v = ReduceSum <keepdims = 0> (counted, last)
})"},
    {"Levels", "(c, table) => (y)", R"({
  index = Cast <to = 7> (c)
  y = Gather <axis = 0> (table, index)
})"},
    {"Affine", "<axis> (x, a, b) => (y)", R"({
  axis = Constant <value_int: int = @axis> ()
  @ALIGN@
  a_aligned = Reshape (a, aligned)
  b_aligned = Reshape (b, aligned)
  scaled = Mul (x, a_aligned)
  y = Add (scaled, b_aligned)
})"},
    {"BitPlanes", "(planes, plane_scale, offset, shape) => (value)", R"({
  @UNPACK@
  scale_by_plane = Transpose <perm = [1, 0]> (plane_scale)
  column_shape = Constant <value = int64[3] {0, 0, 1}> ()
  scale_columns = Reshape (scale_by_plane, column_shape)
  planes_and_groups = Shape (scale_by_plane)
  rest = Constant <value = int64[1] {-1}> ()
  grouped_shape = Concat <axis = 0> (planes_and_groups, rest)
  grouped_bits = Reshape (bits, grouped_shape)
  scaled = Mul (grouped_bits, scale_columns)
  @SUM@
  offset_shape = Constant <value = int64[2] {-1, 1}> ()
  offset_column = Reshape (offset, offset_shape)
  summed = Add (total, offset_column)
  value = Reshape (summed, shape)
})"},
    {"Codebook", "(planes, table, shape) => (value)", R"({
  @UNPACK@
  zero = Constant <value_int: int = 0> ()
  one = Constant <value_int: int = 1> ()
  planes_shape = Shape (planes)
  plane_count = Gather (planes_shape, zero)
  plane_numbers = Range (zero, plane_count, one)
  plane_numbers_float = Cast <to = 1> (plane_numbers)
  plane_values = Pow (two, plane_numbers_float)
  column_shape = Constant <value = int64[2] {-1, 1}> ()
  plane_column = Reshape (plane_values, column_shape)
  scaled = Mul (bits, plane_column)
  @SUM@
  codes = Cast <to = 7> (total)
  table_shape = Shape (table)
  groups = Gather (table_shape, zero)
  levels = Gather (table_shape, one)
  group_numbers = Range (zero, groups, one)
  group_starts = Mul (group_numbers, levels)
  start_column = Reshape (group_starts, column_shape)
  groups_1d = Reshape (groups, axis_1)
  rest = Constant <value = int64[1] {-1}> ()
  grouped_shape = Concat <axis = 0> (groups_1d, rest)
  grouped_codes = Reshape (codes, grouped_shape)
  indices = Add (grouped_codes, start_column)
  flat_table = Reshape (table, rest)
  values = Gather (flat_table, indices)
  value = Reshape (values, shape)
})"},
    {"BucketCodebook", "<bucket> (planes, points, low, high, shape) => (value)", R"({
  @UNPACK@
  zero = Constant <value_int: int = 0> ()
  one = Constant <value_int: int = 1> ()
  planes_shape = Shape (planes)
  plane_count = Gather (planes_shape, zero)
  plane_numbers = Range (zero, plane_count, one)
  plane_numbers_float = Cast <to = 1> (plane_numbers)
  plane_values = Pow (two, plane_numbers_float)
  column_shape = Constant <value = int64[2] {-1, 1}> ()
  plane_column = Reshape (plane_values, column_shape)
  scaled = Mul (bits, plane_column)
  @SUM@
  codes = Cast <to = 7> (total)
  point = Gather (points, codes)
  element_count = Gather (count, zero)
  element_numbers = Range (zero, element_count, one)
  bucket_size = Constant <value_int: int = @bucket> ()
  bucket_of = Div (element_numbers, bucket_size)
  low_of = Gather (low, bucket_of)
  high_of = Gather (high, bucket_of)
  one_float = Constant <value_float: float = 1.0> ()
  rest = Sub (one_float, point)
  below = Mul (low_of, rest)
  above = Mul (high_of, point)
  flat = Add (below, above)
  value = Reshape (flat, shape)
})"},
    // Training only: outside nnq's trainer a quantizer stands for the identity. State inputs are accepted and not used.
    {"Quantizer",
     "<method, role, bits> (x, state_0, state_1, state_2, state_3, state_4, state_5, state_6, state_7) => (y)", R"({
  y = Identity (x)
})"},
    {"ShiftBatchNormalization", "<epsilon, momentum> (x, gamma, beta, mean, inverse_std) => (y)", R"({
  axis = Constant <value_int: int = 1> ()
  @ALIGN@
  zero = Constant <value_float: float = 0.0> ()
  two = Constant <value_float: float = 2.0> ()
  ln_two = Log (two)
  gamma_abs = Abs (gamma)
  gamma_zero = Equal (gamma, zero)
  gamma_log = Log (gamma_abs)
  gamma_log2 = Div (gamma_log, ln_two)
  gamma_power = Round (gamma_log2)
  gamma_magnitude = Pow (two, gamma_power)
  gamma_sign = Sign (gamma)
  gamma_signed = Mul (gamma_magnitude, gamma_sign)
  gamma_ap2 = Where (gamma_zero, zero, gamma_signed)
  std_log = Log (inverse_std)
  std_log2 = Div (std_log, ln_two)
  std_power = Round (std_log2)
  std_ap2 = Pow (two, std_power)
  factor = Mul (gamma_ap2, std_ap2)
  factor_aligned = Reshape (factor, aligned)
  mean_aligned = Reshape (mean, aligned)
  beta_aligned = Reshape (beta, aligned)
  centered = Sub (x, mean_aligned)
  scaled = Mul (centered, factor_aligned)
  y = Add (scaled, beta_aligned)
})"},
};

/// The body of operator `name`; a fault when there is none.
const Body& body_of(const std::string& name) {
  static const std::vector<Body> recurrent = recurrent_bodies();
  for (const std::span<const Body> family : {std::span<const Body>(bodies), std::span<const Body>(recurrent)})
    for (const Body& body : family)
      if (name == body.name) return body;
  throw Error("operator ai.nnq::" + name + " has no function body", {}, {}, /*fault=*/true);
}

}  // namespace

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
  return text;
}

void write_functions(const std::set<std::string>& used, std::int64_t opset, onnx::ModelProto& model) {
  if (opset < 13)
    throw Error(fmt::format("opset {} has no form for nnq's operators", opset), {},
                "export the float model with opset 13 or later");
  const std::string sum =
      "sum_axis = Constant <value = int64[1] {0}> ()\n  total = ReduceSum <keepdims = 0> (scaled, sum_axis)";
  for (const std::string& name : used) {
    const Body& body = body_of(name);
    std::string text =
        replaced(replaced(replaced(body.text, "@ALIGN@", align_to_axis), "@UNPACK@", unpack_bits), "@SUM@", sum);
    // From opset 18 the axes of ReduceProd are an input; over all axes both forms read the same.
    text = fmt::format("<domain: \"{}\", opset_import: [\"\" : {}]> {} {}{}", kNnqDomain, opset, name, body.signature,
                       text);
    onnx::FunctionProto function;
    onnx::OnnxParser parser(text.c_str());
    const auto status = parser.Parse(function);
    if (!status.IsOK())
      throw Error("the body of ai.nnq::" + name + " does not parse: " + status.ErrorMessage(), {}, {}, /*fault=*/true);
    *model.add_functions() = function;
  }
}

}  // namespace nnq::onnx_format
