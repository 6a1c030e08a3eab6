// A matrix with scales by row, packed at its width for products with uniform vectors (docs/program.md, "Uniform
// vectors"): one integer product where weights are whole numbers, one for each plane where planes have real scales.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/matvec/matvec.h"
#include "nnq/program.h"

namespace nnq {

/// Uniform vectors ready for products.
struct IntegerVectors {
  const std::int8_t* codes;    // [count][IntegerProduct::padded()], zeros behind the last
  const std::int32_t* totals;  // [count]: sums of their codes
  const float* scales;         // [count]
  std::int64_t count;          // 1 .. matvec_batch
};

class IntegerProduct {
 public:
  IntegerProduct() = default;  // to be found: packed_fields.h
  IntegerProduct(const PackedWeights& weights, const RealPlanes& planes, std::int64_t rows, std::int64_t columns,
                 Isa isa);

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  std::int64_t padded() const { return padded_; }
  std::int64_t weight_bytes() const;
  /// w4_matvec_..., by the width of a weight.
  std::string kernel() const;
  CeilingKind ceiling() const { return matvec_ceiling(parts_.front().panels.bits, kernel_->isa); }
  double ceiling_share() const { return 1.0 / static_cast<double>(parts_.size()); }

  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.rows_, self.columns_, self.padded_, self.bits_, self.isa_, self.parts_, self.offset_);
  }
  void found() { kernel_ = &matvec_kernel(isa_); }

  /// Products are made in chunks of this many outputs, whose sums stay in the first-level cache.
  static constexpr std::int64_t chunk = 256;
  static constexpr std::size_t sum_bytes = static_cast<std::size_t>(chunk * matvec_batch) * 4;
  std::int64_t chunks() const { return (rows_ + chunk - 1) / chunk; }
  /// y[v * rows() + o], plus bias[o] unless it is nullptr, for the outputs of one chunk. sums: scratch of sum_bytes.
  void run(const IntegerVectors& x, std::int64_t chunk_number, const float* bias, float* y, std::int32_t* sums) const;

 private:
  struct Part {
    MatvecPanels panels;
    std::int32_t low = 0, unit = 1;  // weight = low + unit * code
    PackedArray<float> scale;        // [rows]
    template <class Self, class F>
    static void fields(Self& self, F& f) {
      f(self.panels, self.low, self.unit, self.scale);
    }
  };
  void add_part(std::vector<std::uint8_t> codes, int bits, std::int32_t low, std::int32_t unit);

  std::int64_t rows_ = 0, columns_ = 0, padded_ = 0;
  int bits_ = 0;
  Isa isa_ = Isa::portable;
  const Matvec* kernel_ = nullptr;  // of isa_
  std::vector<Part> parts_;
  PackedArray<float> offset_;  // [rows] or none
};

}  // namespace nnq
