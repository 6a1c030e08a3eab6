// A matrix of bit planes with real scales, packed for products with multi-bit vectors.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/aligned.h"
#include "kernels/planes/planes.h"
#include "kernels/recurrent/recurrent.h"
#include "nnq/program.h"

namespace nnq {

/// A vector ready for products: planes [planes][words] of sign bits, set bits of each, its scales.
struct PackedVector {
  const std::uint64_t* planes;
  const std::int32_t* set;
  const float* scales;
  int count;  // of planes
};

class VectorProduct {
 public:
  VectorProduct(const PackedWeights& weights, const RealPlanes& planes, std::int64_t rows, std::int64_t columns,
                Isa isa);

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t words() const { return words_; }
  std::int64_t weight_bytes() const { return bytes_.size(); }
  std::int64_t packed_bytes() const {
    return bytes_.size() + static_cast<std::int64_t>((scale_.size() + offset_.size() + set_.size()) * 4);
  }
  const char* kernel() const { return kernel_.name; }

  /// Products are made in chunks of this many outputs, whose counts stay in the first-level cache.
  static constexpr std::int64_t chunk = 256;
  std::int64_t chunks() const { return (rows_ + chunk - 1) / chunk; }
  /// Of the scratch that `run` needs.
  std::size_t count_bytes(int code_planes) const { return static_cast<std::size_t>(planes_ * code_planes * chunk) * 4; }
  /// y[o], plus bias[o] unless it is nullptr, for the outputs of one chunk.
  void run(const PackedVector& x, std::int64_t chunk_number, const float* bias, float* y, std::int32_t* counts) const;

 private:
  std::int64_t rows_, columns_, words_, panels_, padded_;
  int planes_;
  bool signs_;
  const PlaneKernel& kernel_;
  AlignedBytes bytes_;
  std::vector<float> scale_, offset_;  // [plane][padded]; [padded]
  std::vector<std::int32_t> set_;      // [plane][padded]
};

}  // namespace nnq
