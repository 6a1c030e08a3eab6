// Resize (opset 10 to 19) and Upsample: separable interpolation, one axis after the other, in double.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/support/check.h"
#include "ops/support/multiply.h"

namespace nnq::ops {
namespace {

enum class Coordinates {
  half_pixel,
  half_pixel_symmetric,
  pytorch_half_pixel,
  align_corners,
  asymmetric,
  tf_half_pixel_for_nn,
  tf_crop_and_resize
};
enum class Mode { nearest, linear, cubic };
enum class Nearest { round_prefer_floor, round_prefer_ceil, floor, ceil };

struct Style {
  Coordinates coordinates = Coordinates::half_pixel;
  Mode mode = Mode::nearest;
  Nearest nearest = Nearest::round_prefer_floor;
  double cubic_a = -0.75;
  bool exclude_outside = false;
  bool antialias = false;
};

/// One axis: extents, scale (output / input), and the cropped part [from, to] for tf_crop_and_resize.
struct Axis {
  std::int64_t in = 0, out = 0;  // -1: unknown
  double scale = 1, from = 0, to = 1;
};

template <class E>
Status choose(const Node& node, const char* attribute, const std::string& value,
              std::initializer_list<std::pair<const char*, E>> names, E& out) {
  for (const auto& [name, e] : names) {
    if (value == name) {
      out = e;
      return {};
    }
  }
  return Status::invalid(text(title(node), ": unknown ", attribute, " ", value));
}

Status read_style(const Node& node, std::int64_t opset, Style& style) {
  const bool old = opset < 11 || node.op == "Upsample";  // asymmetric coordinates, floor
  using C = Coordinates;
  NNQ_TRY(choose<C>(node, "coordinate_transformation_mode",
                    old ? "asymmetric" : node.get_string("coordinate_transformation_mode", "half_pixel"),
                    {{"half_pixel", C::half_pixel},
                     {"half_pixel_symmetric", C::half_pixel_symmetric},
                     {"pytorch_half_pixel", C::pytorch_half_pixel},
                     {"align_corners", C::align_corners},
                     {"asymmetric", C::asymmetric},
                     {"tf_half_pixel_for_nn", C::tf_half_pixel_for_nn},
                     {"tf_crop_and_resize", C::tf_crop_and_resize}},
                    style.coordinates));
  NNQ_TRY(choose<Mode>(
      node, "mode", node.get_string("mode", "nearest"),
      {{"nearest", Mode::nearest}, {"linear", Mode::linear}, {"bilinear", Mode::linear}, {"cubic", Mode::cubic}},
      style.mode));
  NNQ_TRY(choose<Nearest>(node, "nearest_mode", old ? "floor" : node.get_string("nearest_mode", "round_prefer_floor"),
                          {{"round_prefer_floor", Nearest::round_prefer_floor},
                           {"round_prefer_ceil", Nearest::round_prefer_ceil},
                           {"floor", Nearest::floor},
                           {"ceil", Nearest::ceil}},
                          style.nearest));
  style.cubic_a = static_cast<double>(node.get_float("cubic_coeff_a", -0.75F));
  style.exclude_outside = node.get_int("exclude_outside", 0) != 0;
  style.antialias = node.get_int("antialias", 0) != 0;
  return {};
}

// ---- sizes

/// The inputs as numbers, whatever their version: scales or sizes (one of them empty) and roi.
struct Wanted {
  bool known = true;
  std::vector<double> roi, scales, sizes;
};

Status read_numbers(const Node& node, const char* what, const TensorView& t, std::vector<double>& out) {
  NNQ_REQUIRE(t.shape.size() == 1 && t.shape[0] <= static_cast<std::int64_t>(2 * kMaxRank), title(node), ": ", what,
              " must be a short vector, got shape ", nnq::to_string(t.shape));
  out.resize(static_cast<std::size_t>(t.shape[0]));
  load<double>(t.dtype, t.data, 0, 1, t.shape[0], out.data());
  for (double v : out) NNQ_REQUIRE(std::isfinite(v), title(node), ": ", what, " is not finite");
  return {};
}

/// value(i) gives input i as a view or nullptr; given(i) tells whether the node has it.
template <class Given, class Value>
Status read_wanted(const Node& node, std::int64_t opset, const Given& given, const Value& value, Wanted& out) {
  const bool upsample = node.op == "Upsample" || opset < 11;
  const auto read = [&](std::size_t i, const char* what, std::vector<double>& list) -> Status {
    if (!given(i)) return {};
    const std::optional<TensorView> t = value(i);
    if (!t) {
      out.known = false;
      return {};
    }
    return read_numbers(node, what, *t, list);
  };
  if (upsample) {
    for (float s : node.get<std::vector<float>>("scales", {})) out.scales.push_back(static_cast<double>(s));
    return read(1, "scales", out.scales);
  }
  if (node.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize") NNQ_TRY(read(1, "roi", out.roi));
  NNQ_TRY(read(2, "scales", out.scales));
  return read(3, "sizes", out.sizes);
}

Status stretch(const Node& node, const std::vector<std::int64_t>& axes, const Wanted& wanted, std::vector<Axis>& plan) {
  const std::string policy = node.get_string("keep_aspect_ratio_policy", "stretch");
  NNQ_REQUIRE(policy == "stretch" || policy == "not_larger" || policy == "not_smaller", title(node),
              ": unknown keep_aspect_ratio_policy ", policy);
  double common = policy == "not_larger" ? std::numeric_limits<double>::infinity() : 0;
  bool known = true;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const Axis& a = plan[static_cast<std::size_t>(axes[i])];
    NNQ_REQUIRE(wanted.sizes[i] >= 0 && wanted.sizes[i] < 1e12, title(node), ": size ", wanted.sizes[i],
                " is out of range");
    known = known && a.in > 0;
    const double ratio = wanted.sizes[i] / static_cast<double>(std::max<std::int64_t>(a.in, 1));
    common = policy == "not_larger" ? std::min(common, ratio) : std::max(common, ratio);
  }
  for (std::size_t i = 0; i < axes.size(); ++i) {
    Axis& a = plan[static_cast<std::size_t>(axes[i])];
    a.out = static_cast<std::int64_t>(wanted.sizes[i]);
    if (policy != "stretch") {
      const double rounded = std::floor(common * static_cast<double>(a.in) + 0.5);
      NNQ_REQUIRE(!known || rounded < 1e12, title(node), ": the output is too large");
      a.out = known ? static_cast<std::int64_t>(rounded) : -1;
      a.scale = common;
    } else if (a.in > 0) {
      a.scale = wanted.sizes[i] / (static_cast<double>(a.in) * (a.to - a.from));
    }
  }
  return {};
}

/// Fills plan[i].out and the scales; plan[i].in is given (-1 when unknown).
Status resolve(const Node& node, const Wanted& wanted, bool crop, std::vector<Axis>& plan) {
  const std::size_t rank = plan.size();
  std::vector<std::int64_t> axes = node.get_ints("axes"), sorted;
  if (axes.empty()) {
    for (std::size_t i = 0; i < rank; ++i) axes.push_back(static_cast<std::int64_t>(i));
  }
  NNQ_TRY(normalize_axes(node, axes, static_cast<std::int64_t>(rank), sorted));
  for (std::int64_t& a : axes) a += a < 0 ? static_cast<std::int64_t>(rank) : 0;
  for (Axis& a : plan) a.out = a.in;
  if (crop) {
    NNQ_REQUIRE(wanted.roi.size() == 2 * axes.size(), title(node), ": roi has ", wanted.roi.size(),
                " entries, expected ", 2 * axes.size());
    for (std::size_t i = 0; i < axes.size(); ++i) {
      plan[static_cast<std::size_t>(axes[i])].from = wanted.roi[i];
      plan[static_cast<std::size_t>(axes[i])].to = wanted.roi[axes.size() + i];
    }
  }
  NNQ_REQUIRE(wanted.scales.empty() != wanted.sizes.empty(), title(node),
              ": exactly one of scales and sizes must be given");
  const std::size_t given = wanted.scales.size() + wanted.sizes.size();
  NNQ_REQUIRE(given == axes.size(), title(node), ": ", given, " scales or sizes given, expected ", axes.size());
  if (!wanted.sizes.empty()) return stretch(node, axes, wanted, plan);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    Axis& a = plan[static_cast<std::size_t>(axes[i])];
    NNQ_REQUIRE(wanted.scales[i] > 0, title(node), ": scale ", wanted.scales[i], " is not positive");
    a.scale = wanted.scales[i];
    if (a.in < 0) {
      a.out = a.scale == 1 && !crop ? a.in : -1;
      continue;
    }
    // One float32 product, as ONNX's own shape inference has it: 10 * 0.7 is 7, not 6.
    const float extent =
        std::floor(static_cast<float>(a.in) * static_cast<float>(a.to - a.from) * static_cast<float>(a.scale));
    NNQ_REQUIRE(extent >= 0 && extent < 1e12F, title(node), ": axis of ", a.in, " cannot be scaled by ", a.scale);
    a.out = static_cast<std::int64_t>(extent);
  }
  return {};
}

Status infer_resize(InferContext& ctx) {
  const ValueType& x = ctx.input(0);
  Style style;
  NNQ_TRY(read_style(ctx.node, ctx.opset, style));
  Wanted wanted;
  NNQ_TRY(read_wanted(
      ctx.node, ctx.opset, [&](std::size_t i) { return ctx.has(i); },
      [&](std::size_t i) -> std::optional<TensorView> {
        const Tensor* t = ctx.constant(i);
        if (t == nullptr || !t->defined()) return std::nullopt;
        return t->view();
      },
      wanted));
  if (!x.ranked || !wanted.known) {
    set_output(ctx, 0, x.ranked ? of_rank(x.dtype, x.shape.size()) : unranked(x.dtype));
    return {};
  }
  std::vector<Axis> plan(x.shape.size());
  for (std::size_t i = 0; i < plan.size(); ++i) plan[i].in = x.shape[i].value;
  NNQ_TRY(resolve(ctx.node, wanted, style.coordinates == Coordinates::tf_crop_and_resize, plan));
  SymbolicShape shape;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    NNQ_REQUIRE(plan[i].in != 0 || plan[i].out <= 0, title(ctx.node), ": axis ", i, " of ", x.to_string(), " is empty");
    const bool same = plan[i].in < 0 && plan[i].out < 0 && plan[i].scale == 1 && wanted.sizes.empty();
    shape.push_back(plan[i].out >= 0 ? Dim(plan[i].out) : (same ? x.shape[i] : Dim()));
  }
  set_output(ctx, 0, ranked(x.dtype, std::move(shape)));
  return {};
}

// ---- interpolation along one axis

double original(Coordinates c, const Axis& a, std::int64_t i) {
  const auto x = static_cast<double>(i), in = static_cast<double>(a.in), out = static_cast<double>(a.out);
  switch (c) {
    case Coordinates::half_pixel:
      return (x + 0.5) / a.scale - 0.5;
    case Coordinates::half_pixel_symmetric:
      return in / 2 * (1 - out / (a.scale * in)) + (x + 0.5) / a.scale - 0.5;
    case Coordinates::pytorch_half_pixel:
      return a.out > 1 ? (x + 0.5) / a.scale - 0.5 : 0;
    case Coordinates::align_corners:
      return a.out > 1 ? x * (in - 1) / (out - 1) : 0;
    case Coordinates::asymmetric:
      return x / a.scale;
    case Coordinates::tf_half_pixel_for_nn:
      return (x + 0.5) / a.scale;
    case Coordinates::tf_crop_and_resize:
      return a.out > 1 ? a.from * (in - 1) + x * (a.to - a.from) * (in - 1) / (out - 1)
                       : 0.5 * (a.from + a.to) * (in - 1);
  }
  return x;
}

double nearest_index(Nearest mode, double x) {
  switch (mode) {
    case Nearest::round_prefer_floor:
      return std::ceil(x - 0.5);
    case Nearest::round_prefer_ceil:
      return std::floor(x + 0.5);
    case Nearest::floor:
      return std::floor(x);
    case Nearest::ceil:
      return std::ceil(x);
  }
  return x;
}

/// Keys' cubic convolution kernel with parameter a.
double cubic(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

/// For each output index `taps` input indices and weights that sum to 1.
struct Table {
  std::int64_t taps = 1;
  std::vector<std::int64_t> index;
  std::vector<double> weight;
};

Status make_table(const Node& node, const Style& style, const Axis& a, Table& table) {
  const double support = style.mode == Mode::cubic ? 2 : 1;
  const double squeeze = style.antialias && style.mode != Mode::nearest ? std::min(a.scale, 1.0) : 1.0;
  const double reach = std::floor(-support / squeeze) + 1;  // first tap relative to floor(x)
  const double taps = style.mode == Mode::nearest ? 1 : 2 - 2 * reach;
  // A tap is read for each input about four times when shrinking; far more means a scale that contradicts the extents.
  NNQ_REQUIRE(taps >= 1 && taps * static_cast<double>(a.out) <= 16.0 * static_cast<double>(a.in + a.out) + 1024,
              title(node), ": scale ", a.scale, " does not fit extents ", a.in, " and ", a.out);
  table.taps = static_cast<std::int64_t>(taps);
  table.index.resize(static_cast<std::size_t>(table.taps * a.out));
  table.weight.assign(table.index.size(), 1.0);
  const auto last = static_cast<double>(a.in - 1);
  for (std::int64_t o = 0; o < a.out; ++o) {
    const double x = original(style.coordinates, a, o);
    std::int64_t* index = table.index.data() + o * table.taps;
    double* weight = table.weight.data() + o * table.taps;
    if (style.mode == Mode::nearest) {
      index[0] = static_cast<std::int64_t>(std::clamp(nearest_index(style.nearest, x), 0.0, last));
      continue;
    }
    const double base = std::floor(x);
    double sum = 0;
    for (std::int64_t t = 0; t < table.taps; ++t) {
      const double position = base + reach + static_cast<double>(t), distance = (position - x) * squeeze;
      weight[t] = style.mode == Mode::cubic ? cubic(distance, style.cubic_a) : std::max(0.0, 1 - std::abs(distance));
      if (style.exclude_outside && (position < 0 || position > last)) weight[t] = 0;
      index[t] = static_cast<std::int64_t>(std::clamp(position, 0.0, last));
      sum += weight[t];
    }
    if (style.antialias || style.exclude_outside) {
      for (std::int64_t t = 0; t < table.taps; ++t) weight[t] = sum != 0 ? weight[t] / sum : 0;
    }
  }
  return {};
}

/// [outer, in, inner] -> [outer, out, inner]
void apply(const Table& table, std::int64_t outer, std::int64_t in, std::int64_t out, std::int64_t inner,
           const double* from, double* to) {
  std::fill_n(to, outer * out * inner, 0.0);
  for (std::int64_t n = 0; n < outer; ++n) {
    for (std::int64_t o = 0; o < out; ++o) {
      double* row = to + (n * out + o) * inner;
      for (std::int64_t t = 0; t < table.taps; ++t) {
        const double w = table.weight[static_cast<std::size_t>(o * table.taps + t)];
        if (w == 0) continue;  // an infinity beside the sample must not become NaN
        const double* source = from + (n * in + table.index[static_cast<std::size_t>(o * table.taps + t)]) * inner;
        for (std::int64_t i = 0; i < inner; ++i) row[i] += w * source[i];
      }
    }
  }
}

/// tf_crop_and_resize: positions outside the input get the extrapolation value.
void extrapolate(const Style& style, const std::vector<Axis>& plan, const Dims& dims, double value, double* y) {
  Dims index(dims.size(), 0);
  std::int64_t i = 0;
  do {
    bool inside = true;
    for (std::size_t d = 0; d < dims.size() && inside; ++d) {
      const double x = original(style.coordinates, plan[d], index[d]);
      inside = x >= 0 && x <= static_cast<double>(plan[d].in - 1);
    }
    if (!inside) y[i] = value;
    ++i;
  } while (next_index(index, dims, dims.size()));
}

Status evaluate_resize(EvalContext& ctx) {
  const TensorView &x = ctx.input(0), &y = ctx.output(0);
  Style style;
  NNQ_TRY(read_style(ctx.node, ctx.opset, style));
  Wanted wanted;
  NNQ_TRY(read_wanted(
      ctx.node, ctx.opset, [&](std::size_t i) { return ctx.has(i); },
      [&](std::size_t i) -> std::optional<TensorView> { return ctx.input(i); }, wanted));
  const bool crop = style.coordinates == Coordinates::tf_crop_and_resize;
  std::vector<Axis> plan(x.shape.size());
  for (std::size_t i = 0; i < plan.size(); ++i) plan[i].in = x.shape[i];
  NNQ_TRY(resolve(ctx.node, wanted, crop, plan));
  for (std::size_t i = 0; i < plan.size(); ++i) {
    NNQ_REQUIRE(plan[i].out == y.shape[i], title(ctx.node), ": resizes axis ", i, " to ", plan[i].out,
                " but its output has ", y.shape[i]);
  }
  if (y.count() == 0) return {};
  NNQ_REQUIRE(x.count() > 0, title(ctx.node), ": the input is empty");
  // Shrinking axes first keeps every intermediate no larger than the input or the output.
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    if (plan[i].in != plan[i].out || plan[i].scale != 1 || crop) order.push_back(i);
  }
  const auto ratio = [](const Axis& a) { return static_cast<double>(a.out) / static_cast<double>(a.in); };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return ratio(plan[a]) < ratio(plan[b]); });
  const auto largest = static_cast<std::size_t>(std::max(x.count(), y.count()));
  const Workspace work(ctx.scratch, 2 * largest * sizeof(double));
  double *from = work.as<double>(), *to = from + largest;
  load_doubles(x.dtype, x.data, 0, 1, x.count(), from, 1);
  Dims dims(x.shape);
  for (std::size_t axis : order) {
    Table table;
    NNQ_TRY(make_table(ctx.node, style, plan[axis], table));
    apply(table, dims.product(0, axis), plan[axis].in, plan[axis].out, dims.product(axis + 1, dims.size()), from, to);
    dims[axis] = plan[axis].out;
    std::swap(from, to);
  }
  if (crop) extrapolate(style, plan, dims, static_cast<double>(ctx.node.get_float("extrapolation_value", 0)), from);
  store<double>(y.dtype, y.data, 0, y.count(), from);
  return {};
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(resize) {
  add(define("Resize",
             {.inputs = {{kAny}, {kFloat, true}, {kFloat, true}, {kI64, true}},
              .attributes = "mode:s coordinate_transformation_mode:s nearest_mode:s cubic_coeff_a:f exclude_outside:i "
                            "extrapolation_value:f antialias:i "
                            "axes:I keep_aspect_ratio_policy:s"},
             infer_resize, evaluate_resize));
  add(define("Upsample", {.inputs = {{kAny}, {kFloat, true}}, .attributes = "mode:s scales:F"}, infer_resize,
             evaluate_resize));
}
