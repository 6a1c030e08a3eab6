// nnq's own operators (domain ai.nnq, opset 1): docs/quantized-graph.md.
#include <algorithm>
#include <cmath>
#include <utility>

#include "nnq/encoding.h"
#include "ops/support/check.h"
#include "ops/support/copy.h"
#include "ops/support/staged.h"

namespace nnq::ops {
namespace {

Dim count_of(const InferContext& ctx, std::size_t i) {
  Dim count;
  if (ctx.input(i).ranked && !product(ctx.node, ctx.input(i).shape, 0, ctx.input(i).shape.size(), count).ok())
    return {};
  return count;
}

// ---- Quantize: v = clamp(rint(x / scale), min, max)

Status infer_quantize(InferContext& ctx) {
  const Node& node = ctx.node;
  const Dim count = count_of(ctx, 1);
  NNQ_REQUIRE(!count.known() || count.value == 1, title(node), ": scale must be one value, got ",
              ctx.input(1).to_string());
  NNQ_REQUIRE(node.has("min") && node.has("max"), title(node), ": attributes min and max are missing");
  const std::int64_t low = node.get_int("min", 0), high = node.get_int("max", 0);
  NNQ_REQUIRE(low <= high && low >= -(1 << 24) && high <= 1 << 24, title(node), ": codes ", low, " to ", high,
              " are not a range within +-2^24");
  return infer_same(ctx);
}

Status evaluate_quantize(EvalContext& ctx) {
  const float scale = *ctx.input(1).as<float>();
  const auto low = static_cast<float>(ctx.node.get_int("min", 0)),
             high = static_cast<float>(ctx.node.get_int("max", 0));
  const std::int64_t count = ctx.input(0).count();
  const float* x = ctx.input(0).as<float>();
  float* y = ctx.output(0).as<float>();
  for (std::int64_t i = 0; i < count; ++i) {
    const float rounded = std::nearbyint(x[i] / scale);  // the default mode: ties to even
    const float raised = rounded > low ? rounded : low;  // NaN compares false and becomes min
    y[i] = raised < high ? raised : high;
  }
  return {};
}

Status evaluate_sign(EvalContext& ctx) {
  const std::int64_t count = ctx.input(0).count();
  const float* x = ctx.input(0).as<float>();
  float* y = ctx.output(0).as<float>();
  for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] >= 0 ? 1.0F : -1.0F;
  return {};
}

// ---- Affine and ShiftBatchNormalization: one value, or one for each index of an axis

Status check_per_channel(const InferContext& ctx, std::int64_t axis, std::size_t first, std::size_t last,
                         bool one_allowed) {
  const ValueType& x = ctx.input(0);
  if (!x.ranked) return {};
  Dim channels;
  std::int64_t a = axis;
  bool per_channel = false;
  for (std::size_t i = first; i <= last; ++i) {
    const Dim count = count_of(ctx, i);
    per_channel = per_channel || !one_allowed || (count.known() && count.value != 1);
  }
  if (per_channel) {
    NNQ_TRY(normalize_axis(ctx.node, axis, static_cast<std::int64_t>(x.shape.size()), a));
    channels = x.shape[static_cast<std::size_t>(a)];
  }
  for (std::size_t i = first; i <= last; ++i) {
    const Dim count = count_of(ctx, i);
    const bool fits =
        !count.known() || (one_allowed && count.value == 1) || !channels.known() || count.value == channels.value;
    NNQ_REQUIRE(fits && (!ctx.input(i).ranked || ctx.input(i).shape.size() <= 1), title(ctx.node), ": input ", i,
                " is ", ctx.input(i).to_string(), ", expected ", one_allowed ? "1 or " : "", channels.value,
                " values for the channels of ", x.to_string());
  }
  return {};
}

/// Calls row(channel, offset, count) for the runs of x that share an index along `axis`.
template <class Row>
void for_each_channel(const TensorView& x, std::int64_t axis, Row&& row) {
  const Dims dims(x.shape);
  const auto rank = static_cast<std::int64_t>(dims.size());
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) {  // only reachable with one value for all
    row(0, 0, x.count());
    return;
  }
  const auto a = static_cast<std::size_t>(axis);
  const std::int64_t inner = dims.product(a + 1, dims.size()), rows = dims.product(0, a) * dims[a];
  for (std::int64_t r = 0; r < rows; ++r) row(r % dims[a], r * inner, inner);
}

float channel_value(const TensorView& t, std::int64_t c) { return t.as<float>()[t.count() == 1 ? 0 : c]; }

Status infer_affine(InferContext& ctx) {
  NNQ_TRY(check_per_channel(ctx, ctx.node.get_int("axis", 1), 1, 2, true));
  return infer_same(ctx);
}

Status evaluate_affine(EvalContext& ctx) {
  const float* x = ctx.input(0).as<float>();
  float* y = ctx.output(0).as<float>();
  for_each_channel(ctx.input(0), ctx.node.get_int("axis", 1),
                   [&](std::int64_t c, std::int64_t offset, std::int64_t count) {
                     const float a = channel_value(ctx.input(1), c), b = channel_value(ctx.input(2), c);
                     for (std::int64_t i = offset; i < offset + count; ++i) {
                       const float scaled = x[i] * a;
                       y[i] = scaled + b;
                     }
                   });
  return {};
}

/// AP2 of the BNN sheet: sign(x) * 2^round(log2 |x|), AP2(0) = 0. log2 of the mantissa decides at sqrt(1/2).
float nearest_power_of_two(float x) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent = 0;
  const float mantissa = std::frexp(std::abs(x), &exponent);  // in [1/2, 1)
  // 1/sqrt(2) lies strictly between two floats, so the comparison in double is exact in effect.
  const int rounded = static_cast<double>(mantissa) < 0.70710678118654752440 ? exponent - 1 : exponent;
  return std::copysign(std::ldexp(1.0F, rounded), x);
}

Status infer_shift_batch_norm(InferContext& ctx) {
  NNQ_REQUIRE(!ctx.input(0).ranked || ctx.input(0).shape.size() >= 2, title(ctx.node),
              ": the input must be [N, C, ...], got ", ctx.input(0).to_string());
  NNQ_TRY(check_per_channel(ctx, 1, 1, 4, false));
  return infer_same(ctx);
}

/// y = AP2(gamma) * AP2(inverse_std) * (x - mean) + beta; the product of powers of two is exact.
Status evaluate_shift_batch_norm(EvalContext& ctx) {
  const float* x = ctx.input(0).as<float>();
  float* y = ctx.output(0).as<float>();
  for_each_channel(ctx.input(0), 1, [&](std::int64_t c, std::int64_t offset, std::int64_t count) {
    const float factor =
        nearest_power_of_two(channel_value(ctx.input(1), c)) * nearest_power_of_two(channel_value(ctx.input(4), c));
    const float beta = channel_value(ctx.input(2), c), mean = channel_value(ctx.input(3), c);
    for (std::int64_t i = offset; i < offset + count; ++i) {
      const float centered = x[i] - mean;
      const float scaled = factor * centered;
      y[i] = scaled + beta;
    }
  });
  return {};
}

// ---- BitPlanes and Codebook: packed codes to values

/// Shape from the last input; checks the planes against it. Leaves the output without shape and `known` false when the
/// shape is not constant.
Status infer_planes(InferContext& ctx, std::size_t shape_index, bool& known, std::vector<std::int64_t>& dims) {
  const Node& node = ctx.node;
  const ValueType& planes = ctx.input(0);
  NNQ_REQUIRE(!planes.ranked || planes.shape.size() == 2, title(node), ": planes must be [K, bytes], got ",
              planes.to_string());
  NNQ_TRY(constant_integers(ctx, shape_index, "the shape", known, dims));
  if (!known) {
    const ValueType& s = ctx.input(shape_index);
    const bool rank_known = s.ranked && s.shape.size() == 1 && s.shape[0].known() &&
                            s.shape[0].value <= static_cast<std::int64_t>(kMaxRank);
    set_output(ctx, 0,
               rank_known ? of_rank(DType::f32, static_cast<std::size_t>(s.shape[0].value)) : unranked(DType::f32));
    return {};
  }
  NNQ_REQUIRE(dims.size() <= kMaxRank, title(node), ": rank ", dims.size(), " is above ", kMaxRank);
  const auto count = checked_count(dims);
  NNQ_REQUIRE(count.has_value(), title(node), ": the shape ", nnq::to_string(dims), " is negative or overflows");
  if (planes.ranked && planes.shape[1].known()) {
    const std::int64_t bytes = *count / 8 + (*count % 8 != 0 ? 1 : 0);
    NNQ_REQUIRE(planes.shape[1].value == bytes, title(node), ": a plane of ", planes.shape[1].value,
                " bytes does not hold ", nnq::to_string(dims), " (", bytes, " bytes)");
  }
  set_output(ctx, 0, ranked(DType::f32, SymbolicShape(dims.begin(), dims.end())));
  return {};
}

/// infer_planes() where input 1 has a row for each group of axis 0.
Status infer_packed(InferContext& ctx, std::size_t shape_index) {
  const Node& node = ctx.node;
  bool known = false;
  std::vector<std::int64_t> dims;
  NNQ_TRY(infer_planes(ctx, shape_index, known, dims));
  if (!known) return {};
  const ValueType& table = ctx.input(1);
  NNQ_REQUIRE(!table.ranked || table.shape.size() == 2, title(node), ": input 1 must be a matrix, got ",
              table.to_string());
  if (table.ranked && table.shape[0].known()) {
    const std::int64_t groups = table.shape[0].value;
    NNQ_REQUIRE(groups == 1 || (!dims.empty() && groups == dims[0]), title(node), ": ", groups,
                " groups, expected 1 or one for each of axis 0 of ", nnq::to_string(dims));
  }
  return {};
}

Status check_plane_count(const Node& node, const ValueType& planes, std::int64_t& k) {
  k = -1;
  if (!planes.ranked || !planes.shape[0].known()) return {};
  k = planes.shape[0].value;
  NNQ_REQUIRE(k >= 1 && k <= 8, title(node), ": expected 1 to 8 planes, got ", k);
  return {};
}

Status infer_bit_planes(InferContext& ctx) {
  NNQ_TRY(infer_packed(ctx, 3));
  std::int64_t k = 0;
  NNQ_TRY(check_plane_count(ctx.node, ctx.input(0), k));
  const ValueType &scale = ctx.input(1), &offset = ctx.input(2);
  Dim planes;
  if (k >= 0 && scale.ranked) NNQ_TRY(unify(ctx.node, "planes and plane scales", Dim(k), scale.shape[1], planes));
  NNQ_REQUIRE(!offset.ranked || offset.shape.size() == 1, title(ctx.node), ": offset must be [G], got ",
              offset.to_string());
  if (scale.ranked && offset.ranked)
    NNQ_TRY(unify(ctx.node, "groups of plane_scale and offset", scale.shape[0], offset.shape[0], planes));
  return {};
}

Status infer_codebook(InferContext& ctx) {
  NNQ_TRY(infer_packed(ctx, 2));
  std::int64_t k = 0;
  NNQ_TRY(check_plane_count(ctx.node, ctx.input(0), k));
  const ValueType& table = ctx.input(1);
  Dim levels;
  if (k >= 0 && table.ranked)
    NNQ_TRY(unify(ctx.node, "2^K and the levels of the table", Dim(std::int64_t{1} << k), table.shape[1], levels));
  return {};
}

/// planes [K, bytes], points [2^K], low and high [G], shape; G buckets of `bucket` consecutive elements.
Status infer_bucket_codebook(InferContext& ctx) {
  const Node& node = ctx.node;
  const std::int64_t bucket = node.get_int("bucket", 0);
  NNQ_REQUIRE(bucket >= 1, title(node), ": bucket must be 1 or more, got ", bucket);
  bool known = false;
  std::vector<std::int64_t> dims;
  NNQ_TRY(infer_planes(ctx, 4, known, dims));
  for (std::size_t i = 1; i <= 3; ++i)
    NNQ_REQUIRE(!ctx.input(i).ranked || ctx.input(i).shape.size() == 1, title(node), ": input ", i,
                " must be a vector, got ", ctx.input(i).to_string());
  std::int64_t k = 0;
  NNQ_TRY(check_plane_count(node, ctx.input(0), k));
  Dim unified;
  if (k >= 0 && ctx.input(1).ranked)
    NNQ_TRY(unify(node, "2^K and the points", Dim(std::int64_t{1} << k), ctx.input(1).shape[0], unified));
  for (std::size_t i = 2; known && i <= 3; ++i) {
    if (ctx.input(i).ranked)
      NNQ_TRY(unify(node, "buckets and their ranges", Dim(bucket_groups(*checked_count(dims), bucket)),
                    ctx.input(i).shape[0], unified));
  }
  return {};
}

/// The code of element i: bit k from plane k, byte i / 8, bit i % 8.
unsigned code_at(const std::uint8_t* planes, std::int64_t k, std::int64_t bytes, std::int64_t i) {
  unsigned code = 0;
  for (std::int64_t p = 0; p < k; ++p) code |= ((planes[p * bytes + i / 8] >> (i % 8)) & 1U) << p;
  return code;
}

/// Every level of a group of `each` elements first (at most 256), then a look-up for each element.
template <class Level>
Status evaluate_groups(EvalContext& ctx, std::int64_t groups, std::int64_t each, Level&& level) {
  const TensorView &planes = ctx.input(0), &y = ctx.output(0);
  const std::int64_t count = y.count(), k = planes.shape[0], bytes = planes.shape[1];
  NNQ_REQUIRE(bytes * 8 >= count && k >= 1 && k <= 8 && groups >= 1, title(ctx.node), ": the planes do not hold ",
              count, " codes");
  float levels[256];
  float* out = y.as<float>();
  const auto* bits = planes.as<std::uint8_t>();
  for (std::int64_t g = 0; g < groups && g * each < count; ++g) {
    for (unsigned code = 0; code < 1U << k; ++code) levels[code] = level(g, code);
    const std::int64_t end = each > count - g * each ? count : (g + 1) * each;
    for (std::int64_t i = g * each; i < end; ++i) out[i] = levels[code_at(bits, k, bytes, i)];
  }
  return {};
}

/// Groups are equal slices along axis 0.
template <class Level>
Status evaluate_packed(EvalContext& ctx, std::int64_t groups, Level&& level) {
  return evaluate_groups(ctx, groups, groups > 0 ? ctx.output(0).count() / groups : 0, std::forward<Level>(level));
}

Status evaluate_bit_planes(EvalContext& ctx) {
  const TensorView &scale = ctx.input(1), &offset = ctx.input(2);
  const std::int64_t k = scale.shape[1];
  return evaluate_packed(ctx, scale.shape[0], [&](std::int64_t g, unsigned code) {
    float value = offset.as<float>()[g];
    for (std::int64_t p = 0; p < k; ++p)
      value = value + scale.as<float>()[g * k + p] * static_cast<float>((code >> p) & 1U);
    return value;
  });
}

Status evaluate_codebook(EvalContext& ctx) {
  const TensorView& table = ctx.input(1);
  return evaluate_packed(ctx, table.shape[0],
                         [&](std::int64_t g, unsigned code) { return table.as<float>()[g * table.shape[1] + code]; });
}

Status evaluate_bucket_codebook(EvalContext& ctx) {
  const TensorView &points = ctx.input(1), &low = ctx.input(2), &high = ctx.input(3);
  const std::int64_t groups = low.count(), bucket = ctx.node.get_int("bucket", 0);
  NNQ_REQUIRE(bucket >= 1 && groups == bucket_groups(ctx.output(0).count(), bucket) && high.count() == groups &&
                  points.count() >= std::int64_t{1} << std::min<std::int64_t>(ctx.input(0).shape[0], 8),
              title(ctx.node), ": points and ranges do not fit the buckets");
  return evaluate_groups(ctx, groups, bucket, [&](std::int64_t g, unsigned code) {
    return bucket_level(low.as<float>()[g], high.as<float>()[g], points.as<float>()[code]);
  });
}

Op own(std::string name, Signature signature, Status (*infer)(InferContext&), Status (*evaluate)(EvalContext&)) {
  Op op = define(std::move(name), std::move(signature), infer, evaluate);
  op.domain = kNnqDomain;
  return op;
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(nnq) {
  const Formal value{kF32};
  const Formal planes{only(DType::u8)};
  add(own("Quantize", {.inputs = {value, value}, .attributes = "min:i max:i bits:i"}, infer_quantize,
          evaluate_quantize));
  add(own("Sign", {.inputs = {value}}, infer_same, evaluate_sign));
  add(own("Affine", {.inputs = {value, value, value}, .attributes = "axis:i"}, infer_affine, evaluate_affine));
  add(own("BitPlanes", {.inputs = {planes, value, value, {kI64}}}, infer_bit_planes, evaluate_bit_planes));
  add(own("Codebook", {.inputs = {planes, value, {kI64}}}, infer_codebook, evaluate_codebook));
  add(own("BucketCodebook", {.inputs = {planes, value, value, value, {kI64}}, .attributes = "bucket:i"},
          infer_bucket_codebook, evaluate_bucket_codebook));
  // The method's state may be any further inputs; outside LibTorch the operator is the identity.
  add(own("Quantizer",
          {.inputs = {{kFloat}, {kAny, true}}, .variadic = true, .attributes = "method:s role:s bits:i state_names:S"},
          infer_same, evaluate_copy));
  add(own("ShiftBatchNormalization",
          {.inputs = {value, value, value, value, value}, .attributes = "epsilon:f momentum:f"}, infer_shift_batch_norm,
          evaluate_shift_batch_norm));
}
