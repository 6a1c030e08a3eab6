// A matrix of bit planes with real scales, packed for products with multi-bit vectors.
#pragma once

#include <cstdint>

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
  VectorProduct() = default;  // to be found: packed_fields.h
  VectorProduct(const PackedWeights& weights, const RealPlanes& planes, std::int64_t rows, std::int64_t columns,
                Isa isa);

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t words() const { return words_; }
  std::int64_t weight_bytes() const { return bytes_.size(); }
  const char* kernel() const { return kernel_->name; }

  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.rows_, self.columns_, self.words_, self.panels_, self.padded_, self.planes_, self.isa_, self.signs_,
      self.bytes_, self.scale_, self.offset_, self.set_);
  }
  void found() { kernel_ = &plane_kernel(isa_); }

  /// Products are made in chunks of this many outputs, whose counts stay in the first-level cache.
  static constexpr std::int64_t chunk = 256;
  std::int64_t chunks() const { return (rows_ + chunk - 1) / chunk; }
  /// Of the scratch that `run` needs.
  std::size_t count_bytes(int code_planes) const { return static_cast<std::size_t>(planes_ * code_planes * chunk) * 4; }
  /// y[o], plus bias[o] unless it is nullptr, for the outputs of one chunk.
  void run(const PackedVector& x, std::int64_t chunk_number, const float* bias, float* y, std::int32_t* counts) const;

 private:
  std::int64_t rows_ = 0, columns_ = 0, words_ = 0, panels_ = 0, padded_ = 0;
  int planes_ = 0;
  Isa isa_ = Isa::portable;
  bool signs_ = false;
  const PlaneKernel* kernel_ = nullptr;  // of isa_
  AlignedBytes bytes_;
  PackedArray<float> scale_, offset_;  // [plane][padded]; [padded] or none
  PackedArray<std::int32_t> set_;      // [plane][padded]
};

}  // namespace nnq
