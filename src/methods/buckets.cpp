#include "methods/buckets.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "methods/parameters.h"
#include "methods/support.h"

namespace nnq::methods {
namespace {

constexpr float kLeastRange = 1e-10F;  // below it a bucket counts as constant (the authors' code)

/// each(bucket, first element, one past its last) over all buckets, in parallel.
template <class Each>
void for_each_bucket(const Buckets& buckets, std::int64_t count, Each each) {
  const std::int64_t grain = std::max<std::int64_t>(1, 4096 / buckets.size);
  at::parallel_for(0, buckets.count(), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b)
      each(static_cast<std::size_t>(b), b * buckets.size, std::min(count, (b + 1) * buckets.size));
  });
}

/// Levels of one bucket, and between them the middles (double: exact).
struct Levels {
  std::vector<float> value;
  std::vector<double> middle;

  explicit Levels(std::size_t count) : value(count), middle(count - 1) {}
  void set(float low, float high, std::span<const float> points) {
    for (std::size_t c = 0; c < points.size(); ++c) value[c] = bucket_level(low, high, points[c]);
    for (std::size_t c = 0; c + 1 < points.size(); ++c)
      middle[c] = (static_cast<double>(value[c]) + static_cast<double>(value[c + 1])) / 2;
  }
};

std::int64_t passed(const std::vector<double>& bounds, double x) {
  if (bounds.size() > 15) return std::upper_bound(bounds.begin(), bounds.end(), x) - bounds.begin();
  std::int64_t count = 0;
  for (const double bound : bounds) count += bound <= x ? 1 : 0;
  return count;
}

}  // namespace

MethodInfo bucket_method(std::string id, std::string title, std::vector<MethodParameter> parameters) {
  parameters.insert(parameters.begin(), {"bucket", "256", "weights", "0..1000000000",
                                         "consecutive weights scaled together; 0: the whole tensor"});
  return {.id = std::move(id),
          .title = std::move(title),
          .paper = "Polino, Pascanu, Alistarh, 2018, arXiv:1802.05668",
          .kind = "quantizer",
          .encoding = "codebook with buckets",
          .roles = "weights 1..8",
          .parameters = std::move(parameters)};
}

std::int64_t bucket_size(const train::QuantizerContext& context, const MethodInfo& info) {
  if (context.role != train::Role::weight) refuse_role(context, info);
  check_bits(context, info, 1, 8);
  return static_cast<std::int64_t>(Parameters(context, info).number("bucket", 0, 1e9));
}

Buckets scale_buckets(const at::Tensor& w, std::int64_t size) {
  const at::Tensor dense = plain(w);
  const std::int64_t count = dense.numel();
  Buckets buckets;
  buckets.size = size > 0 ? size : std::max<std::int64_t>(count, 1);
  const auto groups = static_cast<std::size_t>(bucket_groups(count, buckets.size));
  buckets.low.assign(groups, 0.0F);
  buckets.high.assign(groups, 1.0F);
  if (count == 0) return buckets;
  const float* values = dense.data_ptr<float>();
  for_each_bucket(buckets, count, [&](std::size_t b, std::int64_t begin, std::int64_t end) {
    const auto [least, most] = std::minmax_element(values + begin, values + end);
    buckets.low[b] = *least;
    const bool constant = static_cast<double>(*most) - static_cast<double>(*least) < static_cast<double>(kLeastRange);
    buckets.high[b] = constant ? *least + 1 : *most;
  });
  return buckets;
}

std::vector<float> uniform_points(int levels) {
  std::vector<float> points;
  for (int c = 0; c < levels; ++c) points.push_back(static_cast<float>(c) / static_cast<float>(levels - 1));
  return points;
}

std::vector<float> quantile_points(const at::Tensor& w, const Buckets& buckets, int levels) {
  const at::Tensor dense = plain(w);
  const std::int64_t count = dense.numel();
  if (count == 0) return uniform_points(levels);
  std::vector<double> scaled(static_cast<std::size_t>(count));
  for_each_bucket(buckets, count, [&](std::size_t b, std::int64_t begin, std::int64_t end) {
    const auto low = static_cast<double>(buckets.low[b]), range = static_cast<double>(buckets.high[b]) - low;
    for (std::int64_t i = begin; i < end; ++i) {
      const auto value = static_cast<double>(dense.data_ptr<float>()[i]);
      scaled[static_cast<std::size_t>(i)] = range > 0 ? (value - low) / range : 0;
    }
  });
  std::sort(scaled.begin(), scaled.end());
  std::vector<float> points;
  for (int c = 0; c < levels; ++c) {
    const double place = static_cast<double>(count - 1) * c / (levels - 1);
    const auto below = static_cast<std::size_t>(place), above = std::min(below + 1, scaled.size() - 1);
    const double share = place - static_cast<double>(below);
    points.push_back(static_cast<float>(scaled[below] * (1 - share) + scaled[above] * share));
  }
  return points;
}

std::vector<std::uint8_t> nearest_codes(const at::Tensor& w, const Buckets& buckets, std::span<const float> points) {
  const at::Tensor dense = plain(w);
  const float* values = dense.data_ptr<float>();
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(dense.numel()));
  for_each_bucket(buckets, dense.numel(), [&](std::size_t b, std::int64_t begin, std::int64_t end) {
    Levels levels(points.size());
    levels.set(buckets.low[b], buckets.high[b], points);
    for (std::int64_t i = begin; i < end; ++i)
      codes[static_cast<std::size_t>(i)] =
          static_cast<std::uint8_t>(passed(levels.middle, static_cast<double>(values[i])));
  });
  return codes;
}

std::vector<std::uint8_t> stochastic_codes(const at::Tensor& w, const Buckets& buckets, std::span<const float> points,
                                           const at::Tensor& noise) {
  const at::Tensor dense = plain(w), draws = plain(noise);
  const float *values = dense.data_ptr<float>(), *draw = draws.data_ptr<float>();
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(dense.numel()));
  for_each_bucket(buckets, dense.numel(), [&](std::size_t b, std::int64_t begin, std::int64_t end) {
    Levels levels(points.size());
    levels.set(buckets.low[b], buckets.high[b], points);
    const std::vector<double> bounds(levels.value.begin() + 1, levels.value.end());
    for (std::int64_t i = begin; i < end; ++i) {
      const auto value = static_cast<double>(values[i]);
      auto code = static_cast<std::size_t>(passed(bounds, value));
      if (code + 1 < points.size()) {
        const auto below = static_cast<double>(levels.value[code]), above = static_cast<double>(levels.value[code + 1]);
        if (above > below && static_cast<double>(draw[i]) < (value - below) / (above - below)) ++code;
      }
      codes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(code);
    }
  });
  return codes;
}

Encoding bucket_encoding(const at::Tensor& w, const Buckets& buckets, std::span<const float> points,
                         std::vector<std::uint8_t> codes) {
  Encoding e;
  e.kind = EncodingKind::codebook;
  e.bits = 1;
  while (std::size_t{1} << e.bits < points.size()) ++e.bits;
  e.shape = shape_of(w);
  e.bucket = buckets.size;
  e.groups = buckets.count();
  e.codes = std::move(codes);
  e.table.assign(points.begin(), points.end());
  e.table.resize(std::size_t{1} << e.bits, points.back());  // codes that no weight has
  e.low = buckets.low;
  e.high = buckets.high;
  return e;
}

at::Tensor decoded(const Encoding& encoding) {
  const Tensor values = encoding.decode();
  at::Tensor tensor = at::empty(values.shape(), at::kFloat);
  if (values.count() > 0) std::memcpy(tensor.data_ptr<float>(), values.as<float>(), values.bytes());
  return tensor;
}

}  // namespace nnq::methods
