// A matrix of bit planes with real scales, packed for products with multi-bit vectors.
#pragma once

#include <cstdint>

#include "kernels/aligned.h"
#include "kernels/ceilings.h"
#include "kernels/planes/planes.h"
#include "kernels/recurrent/recurrent.h"
#include "kernels/vector_counts/vector_counts.h"
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
  /// For vectors of `code_planes`: with one, counting bits is as fast as looking counts up.
  VectorProduct(const PackedWeights& weights, const RealPlanes& planes, std::int64_t rows, std::int64_t columns,
                int code_planes, Isa isa);

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t words() const { return (columns_ + 63) / 64; }  // of a vector's plane
  std::int64_t weight_bytes() const { return bytes_.size(); }
  const char* kernel() const { return lookup_ != nullptr ? lookup_->name : kernel_->name; }
  /// A look-up serves two planes of codes, a count of bits one.
  CeilingKind ceiling() const { return lookup_ != nullptr ? CeilingKind::lookup : CeilingKind::binary; }
  double ceiling_share() const {
    return 1.0 / (planes_ * (lookup_ != nullptr ? (code_planes_ + 1) / 2 : code_planes_));
  }

  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.rows_, self.columns_, self.padded_, self.planes_, self.code_planes_, self.isa_, self.signs_, self.bytes_,
      self.scale_, self.offset_, self.set_);
  }
  void found() {
    kernel_ = &plane_kernel(isa_);
    lookup_ = code_planes_ > 1 ? vector_kernel(isa_) : nullptr;
  }

  /// Products are made in chunks of this many outputs, whose counts stay in the first-level cache.
  static constexpr std::int64_t chunk = 256;
  std::int64_t chunks() const { return (rows_ + chunk - 1) / chunk; }
  /// Of the scratch that `run` needs: counts, behind them the vector's tables where they are looked up. Whole lines.
  std::size_t count_bytes(int code_planes) const {
    return whole_lines(static_cast<std::size_t>(planes_ * code_planes * chunk * 4 +
                                                (lookup_ != nullptr ? vector_table_bytes(columns_, code_planes) : 0)));
  }
  /// y[o], plus bias[o] unless it is nullptr, for the outputs of one chunk. `again`: the last run with these `counts`,
  /// which nobody touched since, was of the same vector.
  void run(const PackedVector& x, std::int64_t chunk_number, const float* bias, float* y, std::int32_t* counts,
           bool again) const;

 private:
  std::int64_t panel() const { return lookup_ != nullptr ? vector_panel : plane_panel; }
  std::int64_t plane_bytes() const {  // of a panel's plane
    return panel() * (lookup_ != nullptr ? vector_weight_bytes(columns_) : words() * 8);
  }
  /// Where eight bits of an output's plane lie: byte after byte, or in words of eight bytes.
  std::int64_t place(std::int64_t o, int p, std::int64_t byte) const {
    const std::int64_t start = (o / panel() * planes_ + p) * plane_bytes(), lane = o % panel();
    return start + (lookup_ != nullptr ? byte * panel() + lane : (byte / 8 * panel() + lane) * 8 + byte % 8);
  }

  std::int64_t rows_ = 0, columns_ = 0, padded_ = 0;
  int planes_ = 0, code_planes_ = 0;
  Isa isa_ = Isa::portable;
  bool signs_ = false;
  const PlaneKernel* kernel_ = nullptr;   // of isa_
  const VectorKernel* lookup_ = nullptr;  // of isa_: taken instead, where there is one
  AlignedBytes bytes_;
  PackedArray<float> scale_, offset_;  // [plane][padded]; [padded] or none
  PackedArray<std::int32_t> set_;      // [plane][padded]
};

}  // namespace nnq
