#include "runtime/steps/vector_product.h"

#include <algorithm>

#include "nnq/encoding.h"

namespace nnq {

VectorProduct::VectorProduct(const PackedWeights& weights, const RealPlanes& planes, std::int64_t rows,
                             std::int64_t columns, Isa isa)
    : rows_(rows),
      columns_(columns),
      words_((columns + 63) / 64),
      panels_((rows + plane_panel - 1) / plane_panel),
      padded_(panels_ * plane_panel),
      planes_(weights.bits),
      isa_(isa),
      signs_(planes.weight_signs),
      kernel_(&plane_kernel(isa)) {
  const auto size = static_cast<std::size_t>(planes_ * padded_);
  bytes_.assign(static_cast<std::size_t>(panels_ * planes_ * words_ * plane_panel * 8));
  scale_.assign(size, 0);
  set_.assign(size, 0);
  const std::vector<std::uint8_t> bits =
      unpack_planes({weights.data, weights.plane_bytes() * static_cast<std::size_t>(planes_)}, planes_, weights.count);
  auto* const to = reinterpret_cast<std::uint64_t*>(bytes_.data());
  for (std::int64_t o = 0; o < rows; ++o) {
    for (int p = 0; p < planes_; ++p) {
      const auto at = static_cast<std::size_t>(p * padded_ + o);
      scale_[at] = planes.weight_scale[static_cast<std::size_t>(o * planes_ + p)];
      std::uint64_t* const row = to + ((o / plane_panel * planes_ + p) * words_) * plane_panel + o % plane_panel;
      for (std::int64_t i = 0; i < columns; ++i) {
        const std::uint64_t bit = bits[static_cast<std::size_t>(o * columns + i)] >> p & 1U;
        row[i / 64 * plane_panel] |= bit << (i % 64);
        set_[at] += static_cast<std::int32_t>(bit);
      }
    }
  }
  if (planes.weight_offset.empty()) return;
  offset_.assign(static_cast<std::size_t>(padded_));
  std::copy(planes.weight_offset.begin(), planes.weight_offset.end(), offset_.begin());
}

void VectorProduct::run(const PackedVector& x, std::int64_t chunk_number, const float* bias, float* y,
                        std::int32_t* counts) const {
  const std::int64_t first = chunk_number * chunk, n = std::min(chunk, rows_ - first), panel = first / plane_panel,
                     panels = (n + plane_panel - 1) / plane_panel;
  kernel_->counts(x.planes, x.count,
                  reinterpret_cast<const std::uint64_t*>(bytes_.data()) + panel * planes_ * words_ * plane_panel,
                  planes_, words_, panels, counts, chunk);
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
