// Winograd's filtering against the plain sum: tails of channels and tiles, extreme codes and weights, buffers that end
// where the memory ends.
#include "kernels/winograd/winograd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/random.h"
#include "kernels/guarded.h"

namespace nnq::test {
namespace {

const auto sz = [](std::int64_t n) { return static_cast<std::size_t>(n); };
constexpr std::int32_t untouched = 0x5a5a5a5a;

enum class Fill { random, largest, alternating };

/// Codes 0 .. largest and weights lowest .. highest.
struct Range {
  std::int32_t largest, lowest, highest;
};
constexpr Range wide{255, -128, 127};
/// What fits bytes, up to the largest of both.
const std::vector<Range> narrows = {{1, -1, 1},  {3, -2, 1},  {15, -8, 7},  {15, -7, 7},   {7, -4, 3},  {31, -8, 7},
                                    {63, -7, 7}, {63, -4, 3}, {3, -14, 14}, {32, -14, 14}, {63, -1, 1}, {0, -8, 7}};

/// Tiles of 4 x 4 pixels of their own, two panels of outputs, the second one's sums asked for.
struct Filter {
  Filter(const WinogradKernels& k, Range r, std::int64_t channels, std::int64_t tiles, Fill fill, Random& random)
      : kernels(k),
        range(r),
        codes(sz(tiles * 16 * channels)),
        weights(sz(k.form.panel(channels))),
        v(sz(16 * k.form.plane(tiles, channels))),
        start(sz(4 * stride)),
        too_much(sz(4 * stride)),
        sums(sz(4 * tiles * stride)),
        room(sz(winograd_room(tiles))) {
    for (std::int64_t i = 0; i < codes.size(); ++i)
      codes[i] = static_cast<std::uint8_t>(fill == Fill::random    ? between(0, r.largest, random)
                                           : fill == Fill::largest ? r.largest
                                                                   : between(0, 1, random) * r.largest);
    for (std::int64_t o = 0; o < winograd_panel; ++o) {
      for (std::int64_t tap = 0; tap < 9; ++tap) {
        for (std::int64_t c = 0; c < channels; ++c)
          weight(c, tap, o) = static_cast<std::uint8_t>(fill == Fill::random    ? between(r.lowest, r.highest, random)
                                                        : fill == Fill::largest ? (o % 2 == 0 ? r.lowest : r.highest)
                                                        : between(0, 1, random) == 0 ? r.lowest
                                                                                     : r.highest);
      }
    }
    for (std::int64_t i = 0; i < v.size(); ++i) v[i] = std::byte{0x7f};
    for (std::int64_t i = 0; i < start.size(); ++i) start[i] = between(-1000, 1000, random);
    for (std::int64_t i = 0; i < sums.size(); ++i) sums[i] = untouched;
    for (std::int64_t i = 0; i < room.size(); ++i) room[i] = std::byte{0xee};
    for (std::int64_t i = 0; i < 4 * tiles; ++i) starts.push_back(start.data() + i % 4 * stride);
    call = {.v = v.data(), .channels = channels, .tiles = tiles, .weights = weights.data()};
    call.starts = starts.data(), call.column = column, call.sums = sums.data(), call.stride = stride;
    call.room = room.data();
    if (!k.form.narrow()) return;
    call.too_much = too_much.data();
    call.run = winograd_run(std::max(-r.lowest, r.highest), r.largest);
  }

  static std::int32_t between(std::int32_t low, std::int32_t high, Random& random) {
    return low + static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(high - low + 1)));
  }

  std::uint8_t& weight(std::int64_t c, std::int64_t tap, std::int64_t o) {
    const std::int64_t together = kernels.form.together;
    return weights[((c / together * 9 + tap) * winograd_panel + o) * together + c % together];
  }

  void run() {
    if (call.too_much != nullptr) sum_too_much();
    for (std::int64_t t = 0; t < call.tiles; ++t) {
      const std::uint8_t* pixels[16];
      for (std::int64_t i = 0; i < 16; ++i) pixels[i] = codes.data() + (t * 16 + i) * call.channels;
      kernels.input(pixels, call.channels, range.largest, v.data() + t * kernels.form.row(call.channels),
                    kernels.form.plane(call.tiles, call.channels));
    }
    winograd_products(kernels, call);
  }

  /// From the definition: A^T (offset * sum of U) A, as matrices.
  void sum_too_much() {
    constexpr int g[4][3] = {{2, 0, 0}, {1, 1, 1}, {1, -1, 1}, {0, 0, 2}}, a[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};
    for (std::int64_t i = 0; i < too_much.size(); ++i) too_much[i] = 0;
    for (std::int64_t o = 0; o < winograd_panel; ++o) {
      for (int e = 0; e < 16; ++e) {
        std::int32_t u = 0;
        for (int tap = 0; e != 5 && tap < 9; ++tap) {
          for (std::int64_t c = 0; c < call.channels; ++c)
            u += g[e / 4][tap / 3] * g[e % 4][tap % 3] * static_cast<std::int8_t>(weight(c, tap, o));
        }
        for (int at = 0; at < 4; ++at)
          too_much[at * stride + column + o] += a[at / 2][e / 4] * a[at % 2][e % 4] * 2 * range.largest * u;
      }
    }
  }

  std::int32_t plain(std::int64_t tile, std::int64_t i, std::int64_t j, std::int64_t o) {
    std::int32_t sum = 0;
    for (std::int64_t tap = 0; tap < 9; ++tap) {
      const std::uint8_t* const pixel = codes.data() + (tile * 16 + (i + tap / 3) * 4 + j + tap % 3) * call.channels;
      for (std::int64_t c = 0; c < call.channels; ++c) sum += pixel[c] * static_cast<std::int8_t>(weight(c, tap, o));
    }
    return sum;
  }

  void expect_plain_sums(const std::string& what) {
    for (std::int64_t e = 0; e < sums.size(); ++e) {
      const std::int64_t row = e / stride, o = e % stride - column, i = row / (2 * call.tiles),
                         tile = row / 2 % call.tiles, j = row % 2;
      if (o < 0 || o >= winograd_panel)
        ASSERT_EQ(sums[e], untouched) << what << ": wrote beside the panel";
      else
        ASSERT_EQ(sums[e], start[(i * 2 + j) * stride + column + o] + plain(tile, i, j, o))
            << what << " codes to " << range.largest << " weights " << range.lowest << " .. " << range.highest
            << " channels " << call.channels << " tiles " << call.tiles << " at tile " << tile << " (" << i << ", " << j
            << "), output " << o;
    }
  }

  static constexpr std::int64_t column = 16, stride = 32 + 16;
  const WinogradKernels& kernels;
  Range range;
  Guarded<std::uint8_t> codes, weights;
  Guarded<std::byte> v;
  Guarded<std::int32_t> start, too_much, sums;
  Guarded<std::byte> room;
  std::vector<const std::int32_t*> starts;
  WinogradCall call;
};

std::vector<Range> ranges_of(const WinogradKernels& kernels) {
  return kernels.form.narrow() ? narrows : std::vector<Range>{wide};
}

TEST(Winograd, SumsAreThePlainOnes) {
  for (const WinogradKernels& kernels : rows_of(winograd_table)) {
    Random random(3);
    const std::vector<Range> ranges = ranges_of(kernels);
    for (const Fill fill : {Fill::random, Fill::largest, Fill::alternating}) {
      std::size_t turn = 0;
      for (const std::int64_t channels : {16, 17, 18, 31, 32, 33, 47, 63, 64, 127, 128, 129, 150, 257, 262}) {
        for (const std::int64_t tiles : {1, 2, 4, 5, 6, 7, 11, 13, 25}) {
          if (channels > 64 && tiles > 7 && fill != Fill::random) continue;
          Filter filter(kernels, ranges[turn++ % ranges.size()], channels, tiles, fill, random);
          filter.run();
          filter.expect_plain_sums(kernels.name);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

/// Every pair of ranges and way to fill them, over several runs of products that meet in 16 bits.
TEST(Winograd, NarrowProductsStaySixteenBits) {
  for (const WinogradKernels& kernels : rows_of(winograd_table)) {
    if (!kernels.form.narrow()) continue;
    Random random(6);
    for (const Range range : narrows) {
      ASSERT_GE(winograd_run(std::max(-range.lowest, range.highest), range.largest), 1);
      for (const Fill fill : {Fill::random, Fill::largest, Fill::alternating}) {
        for (const std::int64_t channels : {16, 90, 300}) {
          Filter filter(kernels, range, channels, 6, fill, random);
          filter.run();
          filter.expect_plain_sums(kernels.name);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

/// Codes and weights that make one element of V the largest it can be, and U there too, in every channel.
TEST(Winograd, NarrowProductsMayBeTheLargestThatTheRunAllows) {
  constexpr int b[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}},
                g[4][3] = {{2, 0, 0}, {1, 1, 1}, {1, -1, 1}, {0, 0, 2}};
  for (const WinogradKernels& kernels : rows_of(winograd_table)) {
    if (!kernels.form.narrow()) continue;
    Random random(7);
    for (const Range range : narrows) {
      for (int e = 0; e < 16; ++e) {
        Filter filter(kernels, range, 256, 5, Fill::random, random);
        for (std::int64_t i = 0; i < filter.codes.size(); ++i) {
          const std::int64_t at = i / 256 % 16;
          const int sign = b[e / 4][at / 4] * b[e % 4][at % 4];
          filter.codes[i] = static_cast<std::uint8_t>(sign > 0 ? range.largest : 0);
        }
        for (std::int64_t o = 0; o < winograd_panel; ++o) {
          for (std::int64_t tap = 0; tap < 9; ++tap) {
            const bool up = (g[e / 4][tap / 3] * g[e % 4][tap % 3] > 0) == (o % 2 == 0);
            for (std::int64_t c = 0; c < 256; ++c)
              filter.weight(c, tap, o) = static_cast<std::uint8_t>(up ? range.highest : range.lowest);
          }
        }
        filter.run();
        filter.expect_plain_sums(kernels.name);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Winograd, CodesAndWeightsThatDoNotFitBytesAreNotNarrow) {
  EXPECT_EQ(winograd_run(15, 1), 0);
  EXPECT_EQ(winograd_run(1, 64), 0);
  EXPECT_EQ(winograd_run(8, 63), 0) << "a single pair leaves 16 bits";
  EXPECT_EQ(winograd_run(8, 15), 3);
  EXPECT_EQ(winograd_run(7, 15), 4);
  EXPECT_GT(winograd_run(0, 63), 1000);
}

/// The largest sum that a caller proves.
TEST(Winograd, FourTimesASumMayFillThirtyTwoBits) {
  for (const WinogradKernels& kernels : rows_of(winograd_table)) {
    if (kernels.form.narrow()) continue;
    Random random(4);
    constexpr std::int64_t channels = 1826;  // 9 * 1826 * 128 * 255 = 2^29 - 459392
    Filter filter(kernels, wide, channels, 2, Fill::largest, random);
    for (std::int64_t i = 0; i < filter.weights.size(); ++i) filter.weights[i] = 0x80;
    filter.run();
    filter.expect_plain_sums(kernels.name);
    EXPECT_EQ(filter.sums[Filter::column] - filter.start[Filter::column], -9 * channels * 128 * 255);
  }
}

/// Half of the channels take the products far beyond 2^31, the other half brings them back.
TEST(Winograd, ProductsMayPassThirtyTwoBitsOnTheWay) {
  for (const WinogradKernels& kernels : rows_of(winograd_table)) {
    if (kernels.form.narrow()) continue;
    Random random(4);
    Filter filter(kernels, wide, 4000, 2, Fill::largest, random);
    for (std::int64_t i = 0; i < filter.weights.size(); ++i)
      filter.weights[i] = i < filter.weights.size() / 2 ? 0x7f : 0x81;
    filter.weights[0] = 0x7e;
    filter.run();
    filter.expect_plain_sums(kernels.name);
  }
}

TEST(Winograd, TransformedCodesOfNoChannelAreThoseOfZero) {
  for (const WinogradKernels& kernels : rows_of(winograd_table)) {
    Random random(5);
    const Range range = ranges_of(kernels).back();
    Filter filter(kernels, {range.largest == 0 ? 5 : range.largest, -1, 1}, 19, 1, Fill::largest, random);
    filter.run();
    const std::int64_t size = filter.kernels.form.narrow() ? 1 : 2;
    for (std::int64_t p = 0; p < 16; ++p) {
      const int zero = kernels.form.narrow() && p != 5 ? 2 * filter.range.largest : 0;
      for (std::int64_t i = 19 * size; i < 32 * size; ++i)
        ASSERT_EQ(std::to_integer<int>(filter.v[p * kernels.form.plane(1, 19) + i]), zero)
            << kernels.name << " element " << p << " byte " << i;
    }
  }
}

TEST(Winograd, RowsAreWholeGroupsOfFiveAndSix) {
  for (std::int64_t tiles = 1; tiles < 200; ++tiles) {
    const std::int64_t rows = winograd_rows(tiles);
    EXPECT_GE(rows, tiles);
    EXPECT_TRUE(tiles < 20 || rows == tiles) << tiles;
    bool whole = false;
    for (std::int64_t sixes = 0; sixes * 6 <= rows; ++sixes) whole |= (rows - sixes * 6) % 5 == 0;
    EXPECT_TRUE(whole) << tiles;
  }
}

}  // namespace
}  // namespace nnq::test
