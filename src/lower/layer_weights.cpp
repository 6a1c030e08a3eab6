#include "lower/layer_weights.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "nnq/encoding.h"

namespace nnq::lower_room {
namespace {

constexpr std::int32_t never_up = std::numeric_limits<std::int32_t>::max(),
                       never_down = std::numeric_limits<std::int32_t>::min();

int bits_of(std::int32_t most) {
  int bits = 1;
  while (most >> bits != 0) ++bits;
  return bits;
}

}  // namespace

WeightGrid grid_of(const std::vector<std::int32_t>& values) {
  WeightGrid grid;
  grid.low = values.empty() ? 0 : *std::min_element(values.begin(), values.end());
  grid.unit = 0;
  std::int32_t most = 0;
  for (const std::int32_t v : values) {
    grid.unit = std::gcd(grid.unit, v - grid.low);
    most = std::max(most, v - grid.low);
  }
  grid.unit = std::max(grid.unit, 1);
  grid.high = most / grid.unit;
  return grid;
}

PackedWeights pack(const LayerWeights& weights) {
  PackedWeights p;
  p.count = static_cast<std::int64_t>(weights.values.size());
  p.nominal_bits = weights.nominal_bits;
  const auto grid = grid_of(weights.values);
  std::int32_t low = grid.low, unit = grid.unit;
  const std::int32_t high = grid.high * unit;
  // Unused codes, too, must stand for 8-bit integers: -127 .. 127 is stored from -128 on.
  const auto offset = [&] {
    const std::int32_t beyond = low + unit * ((1 << bits_of(high / unit)) - 1) - 127;
    return beyond <= 0 ? low : low - (beyond + unit - 1) / unit * unit;
  };
  if (offset() < -128) unit = 1;
  p.bits = bits_of(high / unit);
  p.offset = low = offset();
  for (int k = 0; k < p.bits; ++k) p.plane_scale.push_back(unit << k);
  std::vector<std::uint8_t> codes;
  codes.reserve(weights.values.size());
  for (const std::int32_t v : weights.values) codes.push_back(static_cast<std::uint8_t>((v - low) / unit));
  p.owned = std::make_shared<const std::vector<std::uint8_t>>(pack_planes(codes, p.bits));
  p.data = p.owned->data();
  return p;
}

void turn_falling_channels(LayerWeights& weights, Epilogue& e) {
  if (e.kind != Epilogue::Kind::thresholds) return;
  const WeightGrid grid = grid_of(weights.values);
  const auto each = static_cast<std::ptrdiff_t>(weights.each());
  const auto levels = static_cast<std::ptrdiff_t>(e.levels);
  for (std::size_t c = 0; c < e.direction.size(); ++c) {
    const auto first = weights.values.begin() + static_cast<std::ptrdiff_t>(c) * each;
    const bool fits = std::all_of(first, first + each, [&](std::int32_t v) {
      const std::int32_t above = -v - grid.low;
      return above >= 0 && above % grid.unit == 0 && above / grid.unit <= grid.high;
    });
    if (e.direction[c] > 0 || !fits) continue;
    for (auto w = first; w != first + each; ++w) *w = -*w;
    const auto t = e.thresholds.begin() + static_cast<std::ptrdiff_t>(c) * levels;
    for (auto i = t; i != t + levels; ++i) *i = *i == never_down ? never_up : -*i;
    e.direction[c] = 1;
  }
}

void move_thresholds_to_parity(const LayerWeights& weights, Epilogue& e) {
  if (e.kind != Epilogue::Kind::thresholds) return;
  const auto each = static_cast<std::size_t>(weights.each()), levels = static_cast<std::size_t>(e.levels);
  for (std::size_t c = 0; c < e.direction.size(); ++c) {
    std::uint32_t parity = 0;
    for (std::size_t i = c * each; i < (c + 1) * each; ++i)
      parity ^= static_cast<std::uint32_t>(weights.values[i]) & 1u;
    for (std::size_t i = c * levels; i < (c + 1) * levels; ++i) {
      std::int32_t& t = e.thresholds[i];
      const bool free = t == never_up || t == never_down;  // never, or always
      if (!free && (static_cast<std::uint32_t>(t) & 1u) != parity) t += e.direction[c];
    }
  }
}

}  // namespace nnq::lower_room
