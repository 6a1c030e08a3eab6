#include "runtime/steps/vector_product.h"

#include <algorithm>
#include <bit>

#include "nnq/encoding.h"

namespace nnq {

VectorProduct::VectorProduct(const PackedWeights& weights, const RealPlanes& planes, std::int64_t rows,
                             std::int64_t columns, int code_planes, Isa isa)
    : rows_(rows),
      columns_(columns),
      planes_(weights.bits),
      code_planes_(code_planes),
      isa_(isa),
      signs_(planes.weight_signs) {
  found();
  padded_ = (rows + panel() - 1) / panel() * panel();
  const auto size = static_cast<std::size_t>(planes_ * padded_);
  bytes_.assign(static_cast<std::size_t>(padded_ / panel() * planes_ * plane_bytes()));
  scale_.assign(size, 0);
  set_.assign(size, 0);
  const std::vector<std::uint8_t> bits =
      unpack_planes({weights.data, weights.plane_bytes() * static_cast<std::size_t>(planes_)}, planes_, weights.count);
  for (std::int64_t o = 0; o < rows; ++o) {
    for (int p = 0; p < planes_; ++p) {
      const auto at = static_cast<std::size_t>(p * padded_ + o);
      scale_[at] = planes.weight_scale[static_cast<std::size_t>(o * planes_ + p)];
      const std::uint8_t* row = bits.data() + o * columns;
      for (std::int64_t i = 0; i < columns; i += 8, row += 8) {
        unsigned eight = 0;
        for (std::int64_t j = 0; j < std::min<std::int64_t>(8, columns - i); ++j) eight |= (row[j] >> p & 1U) << j;
        bytes_.data()[place(o, p, i / 8)] = static_cast<std::uint8_t>(eight);
        set_[at] += std::popcount(eight);
      }
    }
  }
  if (planes.weight_offset.empty()) return;
  offset_.assign(static_cast<std::size_t>(padded_));
  std::copy(planes.weight_offset.begin(), planes.weight_offset.end(), offset_.begin());
}

void VectorProduct::run(const PackedVector& x, std::int64_t chunk_number, const float* bias, float* y,
                        std::int32_t* counts, bool again) const {
  const std::int64_t first = chunk_number * chunk, n = std::min(chunk, rows_ - first),
                     panels = (n + panel() - 1) / panel();
  const std::uint8_t* const weights = bytes_.data() + first / panel() * planes_ * plane_bytes();
  if (lookup_ != nullptr) {
    const VectorCall call{x.planes, x.count,  weights,
                          planes_,  columns_, panels,
                          counts,   chunk,    reinterpret_cast<std::uint8_t*>(counts + planes_ * x.count * chunk)};
    if (!again) lookup_->fill(call);
    lookup_->counts(call);
  } else {
    kernel_->counts(x.planes, x.count, reinterpret_cast<const std::uint64_t*>(weights), planes_, words(), panels,
                    counts, chunk);
  }
  const VectorSums sums{.weight_planes = planes_,
                        .code_planes = x.count,
                        .weight_signs = signs_,
                        .counts = counts,
                        .stride = chunk,
                        .set = set_.data() + first,
                        .set_stride = padded_,
                        .code_set = x.set,
                        .inputs = static_cast<std::int32_t>(columns_),
                        .weight_scale = scale_.data() + first,
                        .weight_offset = offset_.empty() ? nullptr : offset_.data() + first,
                        .code_scale = x.scales};
  vector_sums(sums, n, bias == nullptr ? nullptr : bias + first, y + first);
}

}  // namespace nnq
