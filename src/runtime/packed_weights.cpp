// Bit planes of weights: to integers, and which integers there are.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>

#include "nnq/program.h"

namespace nnq {
namespace {

/// Bit i of the index in byte i.
constexpr auto spread_bits = [] {
  std::array<std::uint64_t, 256> table{};
  for (std::size_t byte = 0; byte < 256; ++byte) {
    std::array<std::uint8_t, 8> bytes{};
    for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(byte >> i & 1);
    table[byte] = std::bit_cast<std::uint64_t>(bytes);
  }
  return table;
}();

/// Sums of bytes, each modulo 256.
std::uint64_t add_bytes(std::uint64_t a, std::uint64_t b) {
  constexpr std::uint64_t high = 0x8080808080808080U;
  return ((a & ~high) + (b & ~high)) ^ ((a ^ b) & high);
}

std::int8_t weight_of(const PackedWeights& w, int code) {
  std::int32_t v = w.offset;
  for (int k = 0; k < w.bits; ++k) v += (code >> k & 1) * w.plane_scale[static_cast<std::size_t>(k)];
  return static_cast<std::int8_t>(v);
}

/// The codes that occur: a tree whose branches are bits, the highest first, walked with sets of 64 weights. Branches
/// that no weight of a set takes, and those below which every code has been seen, end the walk.
class CodeFinder {
 public:
  explicit CodeFinder(int bits) : bits_(bits) {}
  /// planes: a bit a weight; valid: which bits are weights.
  void add(const std::uint64_t* planes, std::uint64_t valid) { walk(planes, 1, bits_, valid); }
  bool seen(int code) const { return complete_[static_cast<std::size_t>((1 << bits_) + code)]; }

 private:
  void walk(const std::uint64_t* planes, std::size_t node, int left, std::uint64_t set) {
    if (set == 0 || complete_[node]) return;
    if (left > 0) {
      walk(planes, 2 * node, left - 1, set & ~planes[left - 1]);
      walk(planes, 2 * node + 1, left - 1, set & planes[left - 1]);
    }
    complete_[node] = left == 0 || (complete_[2 * node] && complete_[2 * node + 1]);
  }

  int bits_;
  std::array<bool, 512> complete_{};  // node n branches into 2n and 2n + 1; the leaves are the codes
};

template <int Bits>
void unpack_bits(const PackedWeights& w, std::span<std::int8_t> values) {
  const std::size_t n = values.size(), stride = w.plane_bytes();
  const std::uint64_t first = static_cast<std::uint8_t>(w.offset) * 0x0101010101010101U;
  std::uint64_t scale[Bits];
  for (int k = 0; k < Bits; ++k) scale[k] = static_cast<std::uint64_t>(w.plane_scale[static_cast<std::size_t>(k)]);
  const auto eight = [&](std::size_t byte) {
    // A weight less the offset is at most 255, and so are the sums on the way to it: bytes of a word do not meet.
    std::uint64_t sum = 0;
    for (int k = 0; k < Bits; ++k) sum += spread_bits[w.data[static_cast<std::size_t>(k) * stride + byte]] * scale[k];
    return add_bytes(sum, first);
  };
  for (std::size_t byte = 0; byte < n / 8; ++byte) {
    const std::uint64_t some = eight(byte);
    std::memcpy(values.data() + byte * 8, &some, 8);
  }
  if (n % 8 == 0) return;
  const std::uint64_t rest = eight(n / 8);
  std::memcpy(values.data() + n / 8 * 8, &rest, n % 8);
}

}  // namespace

std::vector<std::int8_t> PackedWeights::unpack() const {
  std::vector<std::int8_t> values(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)));
  constexpr void (*widths[])(const PackedWeights&, std::span<std::int8_t>) = {
      unpack_bits<1>, unpack_bits<2>, unpack_bits<3>, unpack_bits<4>,
      unpack_bits<5>, unpack_bits<6>, unpack_bits<7>, unpack_bits<8>};
  widths[bits - 1](*this, values);
  return values;
}

bool PackedWeights::ternary() const {
  if (bits != 2 || offset != -1 || plane_scale.size() != 2 || plane_scale[0] != 1) return false;
  if (plane_scale[1] != 2) return plane_scale[1] == 1;
  const std::uint8_t* const high = data + plane_bytes();
  const auto whole = static_cast<std::size_t>(count / 8);
  std::size_t byte = 0;
  for (; byte + 8 <= whole; byte += 8) {
    std::uint64_t one, two;
    std::memcpy(&one, data + byte, 8);
    std::memcpy(&two, high + byte, 8);
    if ((one & two) != 0) return false;  // a weight of 2
  }
  for (; byte < whole; ++byte) {
    if ((data[byte] & high[byte]) != 0) return false;
  }
  return count % 8 == 0 || (data[whole] & high[whole] & ((1U << (count % 8)) - 1)) == 0;
}

std::vector<std::int8_t> PackedWeights::levels() const {
  CodeFinder finder(bits);
  const std::size_t stride = plane_bytes();
  for (std::size_t byte = 0; byte < stride; byte += 8) {
    std::uint64_t planes[8] = {}, valid = 0;
    const std::size_t bytes = std::min<std::size_t>(8, stride - byte);
    for (int k = 0; k < bits; ++k) std::memcpy(&planes[k], data + static_cast<std::size_t>(k) * stride + byte, bytes);
    std::array<std::uint8_t, 8> weights{};  // which bits are some
    for (std::size_t i = 0; i < bytes; ++i) {
      const std::size_t left = static_cast<std::size_t>(count) - 8 * (byte + i);
      weights[i] = left >= 8 ? 255 : static_cast<std::uint8_t>((1U << left) - 1);
    }
    std::memcpy(&valid, weights.data(), 8);
    finder.add(planes, valid);
  }
  std::vector<std::int8_t> values;
  for (int code = 0; code < (1 << bits); ++code) {
    if (finder.seen(code)) values.push_back(weight_of(*this, code));
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

}  // namespace nnq
