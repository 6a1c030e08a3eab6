// What a Resize node wants: attributes, scales or sizes, and the extents that follow.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/support/check.h"
#include "ops/support/multiply.h"
#include "ops/support/resize.h"

namespace nnq::ops {
namespace {

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

Status read_numbers(const Node& node, const char* what, const TensorView& t, std::vector<double>& out) {
  NNQ_REQUIRE(t.shape.size() == 1 && t.shape[0] <= static_cast<std::int64_t>(2 * kMaxRank), title(node), ": ", what,
              " must be a short vector, got shape ", nnq::to_string(t.shape));
  out.resize(static_cast<std::size_t>(t.shape[0]));
  load<double>(t.dtype, t.data, 0, 1, t.shape[0], out.data());
  for (double v : out) NNQ_REQUIRE(std::isfinite(v), title(node), ": ", what, " is not finite");
  return {};
}

Status stretch(const Node& node, const std::vector<std::int64_t>& axes, const ResizeWanted& wanted,
               std::vector<ResizeAxis>& plan) {
  const std::string policy = node.get_string("keep_aspect_ratio_policy", "stretch");
  NNQ_REQUIRE(policy == "stretch" || policy == "not_larger" || policy == "not_smaller", title(node),
              ": unknown keep_aspect_ratio_policy ", policy);
  double common = policy == "not_larger" ? std::numeric_limits<double>::infinity() : 0;
  bool known = true;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const ResizeAxis& a = plan[static_cast<std::size_t>(axes[i])];
    NNQ_REQUIRE(wanted.sizes[i] >= 0 && wanted.sizes[i] < 1e12, title(node), ": size ", wanted.sizes[i],
                " is out of range");
    known = known && a.in > 0;
    const double ratio = wanted.sizes[i] / static_cast<double>(std::max<std::int64_t>(a.in, 1));
    common = policy == "not_larger" ? std::min(common, ratio) : std::max(common, ratio);
  }
  for (std::size_t i = 0; i < axes.size(); ++i) {
    ResizeAxis& a = plan[static_cast<std::size_t>(axes[i])];
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

}  // namespace

Status read_resize_wanted(const Node& node, std::int64_t opset, const std::function<bool(std::size_t)>& given,
                          const std::function<std::optional<TensorView>(std::size_t)>& value, ResizeWanted& out) {
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

Status read_resize_style(const Node& node, std::int64_t opset, ResizeStyle& style) {
  const bool old = opset < 11 || node.op == "Upsample";  // asymmetric coordinates, floor
  using C = ResizeCoordinates;
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
  NNQ_TRY(choose<ResizeMode>(node, "mode", node.get_string("mode", "nearest"),
                             {{"nearest", ResizeMode::nearest},
                              {"linear", ResizeMode::linear},
                              {"bilinear", ResizeMode::linear},
                              {"cubic", ResizeMode::cubic}},
                             style.mode));
  NNQ_TRY(choose<ResizeNearest>(node, "nearest_mode",
                                old ? "floor" : node.get_string("nearest_mode", "round_prefer_floor"),
                                {{"round_prefer_floor", ResizeNearest::round_prefer_floor},
                                 {"round_prefer_ceil", ResizeNearest::round_prefer_ceil},
                                 {"floor", ResizeNearest::floor},
                                 {"ceil", ResizeNearest::ceil}},
                                style.nearest));
  style.cubic_a = static_cast<double>(node.get_float("cubic_coeff_a", -0.75F));
  style.exclude_outside = node.get_int("exclude_outside", 0) != 0;
  style.antialias = node.get_int("antialias", 0) != 0;
  return {};
}

Status resolve_resize(const Node& node, const ResizeWanted& wanted, bool crop, std::vector<ResizeAxis>& plan) {
  const std::size_t rank = plan.size();
  std::vector<std::int64_t> axes = node.get_ints("axes"), sorted;
  if (axes.empty()) {
    for (std::size_t i = 0; i < rank; ++i) axes.push_back(static_cast<std::int64_t>(i));
  }
  NNQ_TRY(normalize_axes(node, axes, static_cast<std::int64_t>(rank), sorted));
  for (std::int64_t& a : axes) a += a < 0 ? static_cast<std::int64_t>(rank) : 0;
  for (ResizeAxis& a : plan) a.out = a.in;
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
    ResizeAxis& a = plan[static_cast<std::size_t>(axes[i])];
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

}  // namespace nnq::ops
