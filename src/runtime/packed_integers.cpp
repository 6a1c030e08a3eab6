#include "runtime/packed_integers.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

namespace nnq {
namespace {

constexpr int most_bits = 34;  // differences of two int32, and one code more
constexpr std::int64_t limit = std::int64_t{1} << most_bits;
constexpr std::int32_t never_up = std::numeric_limits<std::int32_t>::max(),
                       never_down = std::numeric_limits<std::int32_t>::min();

int bits_for(std::uint64_t most) {
  int bits = 1;
  while (most >> bits != 0) ++bits;
  return bits;
}

std::uint64_t never_code(const PackedIntegers& p) { return (std::uint64_t{1} << p.width) - 1; }

std::int64_t bytes_for(std::int64_t count, int width) {
  // count <= 2^40 here: the product cannot overflow.
  return (count * width + 7) / 8;
}

/// Offset, common step and width of the values that are not never_passed.
void choose_form(std::span<const std::int64_t> values, PackedIntegers& p) {
  std::int64_t low = never_passed, high = 0, unit = 0;
  for (const std::int64_t v : values) {
    p.never = p.never || v == never_passed;
    if (v != never_passed) low = std::min(low, v);
  }
  if (low == never_passed) return;
  p.base = high = low;
  for (const std::int64_t v : values) {
    if (v == never_passed) continue;
    high = std::max(high, v);
    unit = std::gcd(unit, v - low);
  }
  p.unit = std::max<std::int64_t>(unit, 1);
  p.width = bits_for(static_cast<std::uint64_t>((high - low) / p.unit) + (p.never ? 1 : 0));
}

}  // namespace

PackedIntegers pack_integers(std::span<const std::int64_t> values) {
  PackedIntegers p;
  p.count = static_cast<std::int64_t>(values.size());
  choose_form(values, p);
  p.bits.assign(static_cast<std::size_t>(bytes_for(p.count, p.width)), 0);
  std::size_t at = 0;
  for (const std::int64_t v : values) {
    const std::uint64_t code = v == never_passed ? never_code(p) : static_cast<std::uint64_t>((v - p.base) / p.unit);
    for (int k = 0; k < p.width; ++k, ++at)
      p.bits[at / 8] = static_cast<std::uint8_t>(p.bits[at / 8] | (code >> k & 1) << (at % 8));
  }
  return p;
}

Status unpack_integers(const PackedIntegers& p, std::vector<std::int64_t>& values) {
  NNQ_REQUIRE(
      p.width >= 1 && p.width <= most_bits && p.unit >= 1 && p.unit <= limit && p.base >= -limit && p.base <= limit,
      "impossible packed integers");
  NNQ_REQUIRE(p.count >= 0 && p.count <= static_cast<std::int64_t>(p.bits.size()) * 8 &&
                  bytes_for(p.count, p.width) == static_cast<std::int64_t>(p.bits.size()),
              p.count, " packed integers of ", p.width, " bits do not fit ", p.bits.size(), " bytes");
  values.clear();
  values.reserve(static_cast<std::size_t>(p.count));
  const std::uint64_t mask = (std::uint64_t{1} << p.width) - 1;
  for (std::int64_t i = 0; i < p.count; ++i) {
    // The 8 bytes (or what is left of them) from the code's first byte on: it and 7 bits before it are at most 41 bits.
    const std::size_t at = static_cast<std::size_t>(i) * static_cast<std::size_t>(p.width), byte = at / 8,
                      left = p.bits.size() - byte;
    std::uint64_t code = 0;
    if (left >= 8) {
      std::memcpy(&code, p.bits.data() + byte, 8);
      if constexpr (std::endian::native == std::endian::big) code = __builtin_bswap64(code);
    } else {
      for (std::size_t k = 0; k < left; ++k) code |= static_cast<std::uint64_t>(p.bits[byte + k]) << (8 * k);
    }
    code = code >> (at % 8) & mask;
    if (p.never && code == never_code(p)) {
      values.push_back(never_passed);
      continue;
    }
    NNQ_REQUIRE(static_cast<std::int64_t>(code) <= limit / p.unit, "packed integer ", i, " is out of range");
    values.push_back(p.base + p.unit * static_cast<std::int64_t>(code));
  }
  return {};
}

std::vector<std::uint8_t> pack_flags(std::span<const std::uint8_t> flags) {
  std::vector<std::uint8_t> bits((flags.size() + 7) / 8, 0);
  for (std::size_t i = 0; i < flags.size(); ++i)
    if (flags[i] != 0) bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | 1u << (i % 8));
  return bits;
}

Status unpack_flags(std::span<const std::uint8_t> bits, std::int64_t count, std::vector<std::uint8_t>& flags) {
  const auto bytes = static_cast<std::int64_t>(bits.size());
  NNQ_REQUIRE(count >= 0 && count <= bytes * 8 && (count + 7) / 8 == bytes, count, " flags do not fit ", bytes,
              " bytes");
  flags.resize(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < flags.size(); ++i) flags[i] = bits[i / 8] >> (i % 8) & 1;
  return {};
}

PackedThresholds pack_thresholds(const Epilogue& e) {
  PackedThresholds packed;
  const auto levels = static_cast<std::size_t>(std::max(e.levels, 0));
  packed.channels = static_cast<std::int64_t>(e.direction.size());
  std::vector<std::int64_t> first, rises;
  std::vector<std::uint8_t> falling;
  for (std::size_t c = 0; c < e.direction.size(); ++c) {
    const bool falls = e.direction[c] < 0;
    falling.push_back(falls ? 1 : 0);
    std::int64_t last = 0;
    for (std::size_t l = 0; l < levels; ++l) {
      const std::int32_t t = e.thresholds[c * levels + l];
      const bool never = t == (falls ? never_down : never_up);
      const std::int64_t turned = falls ? -static_cast<std::int64_t>(t) : t;
      (l == 0 ? first : rises).push_back(never ? never_passed : turned - last);
      if (!never) last = turned;
    }
  }
  packed.first = pack_integers(first);
  packed.rises = pack_integers(rises);
  if (std::find(falling.begin(), falling.end(), 1) != falling.end()) packed.falling = pack_flags(falling);
  return packed;
}

Status unpack_thresholds(const PackedThresholds& packed, Epilogue& e) {
  std::vector<std::int64_t> first, rises;
  std::vector<std::uint8_t> falling;
  NNQ_TRY(unpack_integers(packed.first, first));
  NNQ_TRY(unpack_integers(packed.rises, rises));
  NNQ_REQUIRE(e.levels >= 1 && e.levels <= 255 && packed.channels == packed.first.count &&
                  packed.rises.count == packed.first.count * (e.levels - 1),
              "the thresholds do not match the channels");
  if (!packed.falling.empty()) NNQ_TRY(unpack_flags(packed.falling, packed.channels, falling));
  const auto channels = static_cast<std::size_t>(packed.channels), levels = static_cast<std::size_t>(e.levels);
  e.direction.assign(channels, 1);
  e.thresholds.resize(channels * levels);
  for (std::size_t c = 0; c < channels; ++c) {
    const bool falls = !falling.empty() && falling[c] != 0;
    if (falls) e.direction[c] = -1;
    std::int64_t last = 0;
    for (std::size_t l = 0; l < levels; ++l) {
      const std::int64_t given = l == 0 ? first[c] : rises[c * (levels - 1) + l - 1];
      std::int32_t& t = e.thresholds[c * levels + l];
      if (given == never_passed) {
        t = falls ? never_down : never_up;
        continue;
      }
      last += given;  // both below 2^35: checked against int32 at every step
      const std::int64_t turned = falls ? -last : last;
      NNQ_REQUIRE(turned >= never_down && turned <= never_up, "threshold ", turned, " is beyond 32 bits");
      t = static_cast<std::int32_t>(turned);
    }
  }
  return {};
}

}  // namespace nnq
