// Bucket scaling of Polino et al. 2018 (arXiv:1802.05668, sec. 2.1): a weight, flattened in row-major order, is cut
// into runs of consecutive values, and each run is scaled to [0, 1] by its smallest and its largest value.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nnq/encoding.h"
#include "train/quantizer.h"

namespace nnq::methods {

/// The row of `nnq methods` that the paper's two methods fill in: title and parameters besides `bucket` are theirs.
MethodInfo bucket_method(std::string id, std::string title, std::vector<MethodParameter> parameters);
/// Checks of such a method's context (weights, 1 to 8 bits) and its parameter `bucket`. Throws nnq::Error.
std::int64_t bucket_size(const train::QuantizerContext& context, const MethodInfo& info);

struct Buckets {
  std::int64_t size = 1;         // weights a bucket; the last may have fewer
  std::vector<float> low, high;  // of each bucket; high = low + 1 where all values are equal (closer than 1e-10)

  std::int64_t count() const { return static_cast<std::int64_t>(low.size()); }
};

/// Scales the values of `w` in buckets of `size`; 0: the whole tensor is one bucket.
Buckets scale_buckets(const at::Tensor& w, std::int64_t size);

/// Points c / (levels - 1), c = 0 .. levels - 1.
std::vector<float> uniform_points(int levels);
/// Quantiles 0, 1 / (levels - 1), .., 1 of the scaled values, interpolated linearly; uniform_points() of no values.
std::vector<float> quantile_points(const at::Tensor& w, const Buckets& buckets, int levels);

/// Codes of w: the nearest of its bucket's levels, the upper of two equally near ones. `points` ascend.
std::vector<std::uint8_t> nearest_codes(const at::Tensor& w, const Buckets& buckets, std::span<const float> points);
/// The level below or the level above with probabilities that make the mean w; `noise` in [0, 1) a weight.
std::vector<std::uint8_t> stochastic_codes(const at::Tensor& w, const Buckets& buckets, std::span<const float> points,
                                           const at::Tensor& noise);

Encoding bucket_encoding(const at::Tensor& w, const Buckets& buckets, std::span<const float> points,
                         std::vector<std::uint8_t> codes);
/// decode() as a tensor of libtorch.
at::Tensor decoded(const Encoding& encoding);

}  // namespace nnq::methods
