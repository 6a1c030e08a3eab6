#include "runtime/steps/integer_product.h"

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "kernels/recurrent/recurrent.h"
#include "nnq/encoding.h"

namespace nnq {
namespace {

/// Narrow weights fill longer blocks; where that makes over a tenth more products than 4 bits would, 4 bits are faster.
int width_of(int bits, std::int64_t columns) {
  const auto products = [columns](int width) {
    const std::int64_t block = matvec_block(width).inputs;
    return (columns + block - 1) / block * block;
  };
  const int width = matvec_width(bits);
  return width < 4 && products(width) * 10 > products(4) * 11 ? 4 : width;
}

}  // namespace

IntegerProduct::IntegerProduct(const PackedWeights& weights, const RealPlanes& planes, std::int64_t rows,
                               std::int64_t columns, Isa isa)
    : rows_(rows),
      columns_(columns),
      padded_((columns + matvec_padding - 1) / matvec_padding * matvec_padding),
      bits_(weights.bits),
      isa_(isa),
      kernel_(&matvec_kernel(isa)) {
  offset_.assign(std::span(planes.weight_offset));
  const std::vector<std::uint8_t> codes =
      unpack_planes({weights.data, weights.plane_bytes() * static_cast<std::size_t>(bits_)}, bits_, weights.count);
  if (!weights.plane_scale.empty()) {
    add_part(codes, bits_, weights.offset, 1);
    parts_[0].scale.assign(std::span(planes.weight_scale));
    return;
  }
  for (int p = 0; p < bits_; ++p) {
    std::vector<std::uint8_t> plane(codes.size());
    for (std::size_t i = 0; i < codes.size(); ++i) plane[i] = codes[i] >> p & 1U;
    add_part(std::move(plane), 1, planes.weight_signs ? -1 : 0, planes.weight_signs ? 2 : 1);
    PackedArray<float>& scale = parts_.back().scale;
    scale.assign(static_cast<std::size_t>(rows));
    for (std::size_t o = 0; o < static_cast<std::size_t>(rows); ++o)
      scale[o] = planes.weight_scale[o * static_cast<std::size_t>(bits_) + static_cast<std::size_t>(p)];
  }
}

void IntegerProduct::add_part(std::vector<std::uint8_t> codes, int bits, std::int32_t low, std::int32_t unit) {
  Part part;
  part.low = low;
  part.unit = unit;
  part.panels.pack(codes.data(), rows_, columns_, width_of(bits, columns_));
  parts_.push_back(std::move(part));
}

std::int64_t IntegerProduct::weight_bytes() const {
  std::int64_t bytes = 0;
  for (const Part& part : parts_) bytes += part.panels.panels * part.panels.panel_bytes();
  return bytes;
}

std::string IntegerProduct::kernel() const { return text("w", bits_, "_", kernel_->name); }

void IntegerProduct::run(const IntegerVectors& x, std::int64_t chunk_number, const float* bias, float* y,
                         std::int32_t* sums) const {
  const std::int64_t first = chunk_number * chunk, n = std::min(chunk, rows_ - first), panel = first / matvec_panel,
                     panels = (n + matvec_panel - 1) / matvec_panel;
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    const Part& part = parts_[p];
    kernel_->run({x.codes, padded_, x.count, part.panels.bits,
                  part.panels.bytes.data() + panel * part.panels.panel_bytes(), panels, part.panels.blocks, sums,
                  chunk});
    for (std::int64_t v = 0; v < x.count; ++v) {
      float* const to = y + v * rows_ + first;
      if (p == 0) std::fill_n(to, n, 0.0F);
      const auto constant = static_cast<std::uint32_t>(part.low) * static_cast<std::uint32_t>(x.totals[v]);
      add_integers(
          {sums + v * chunk, part.unit, static_cast<std::int32_t>(constant), part.scale.data() + first, x.scales[v]}, n,
          to);
    }
  }
  for (std::int64_t v = 0; v < x.count; ++v) {
    float* const to = y + v * rows_ + first;
    if (!offset_.empty()) add_integers({nullptr, 0, x.totals[v], offset_.data() + first, x.scales[v]}, n, to);
    if (bias != nullptr) add_bias(bias + first, n, to);
  }
}

}  // namespace nnq
