// Winograd's filtering against the plain sum: tails of channels and tiles, extreme codes and weights, buffers that end
// where the memory ends.
#include "kernels/winograd/winograd.h"

#include <gtest/gtest.h>

#include <string>

#include "core/random.h"
#include "kernels/guarded.h"

namespace nnq::test {
namespace {

const auto sz = [](std::int64_t n) { return static_cast<std::size_t>(n); };
constexpr std::int32_t untouched = 0x5a5a5a5a;

enum class Fill { random, largest, alternating };

/// Tiles of 4 x 4 pixels of their own, two panels of outputs, the second one's sums asked for.
struct Filter {
  Filter(std::int64_t channels, std::int64_t tiles, Fill fill, Random& random)
      : codes(sz(tiles * 16 * channels)),
        weights(sz((channels + 1) / 2 * winograd_pair)),
        v(sz(16 * winograd_plane(tiles, channels))),
        start(sz(4 * stride)),
        sums(sz(4 * tiles * stride)),
        room(sz(winograd_room(tiles))) {
    for (std::int64_t i = 0; i < codes.size(); ++i)
      codes[i] = fill == Fill::random    ? static_cast<std::uint8_t>(random.next())
                 : fill == Fill::largest ? std::uint8_t{255}
                                         : static_cast<std::uint8_t>(random.below(2) * 255);
    for (std::int64_t i = 0; i < weights.size(); ++i) {
      const bool there = i / winograd_pair * 2 + i % 2 < channels;
      const std::int32_t w = fill == Fill::random    ? static_cast<std::int32_t>(random.below(256)) - 128
                             : fill == Fill::largest ? (i / 2 % 2 == 0 ? -128 : 127)
                                                     : static_cast<std::int32_t>(random.below(2)) * 255 - 128;
      weights[i] = static_cast<std::uint8_t>(there ? w : 0);
    }
    for (std::int64_t i = 0; i < v.size(); ++i) v[i] = 0x7fff;
    for (std::int64_t i = 0; i < start.size(); ++i) start[i] = static_cast<std::int32_t>(random.below(2001)) - 1000;
    for (std::int64_t i = 0; i < sums.size(); ++i) sums[i] = untouched;
    for (std::int64_t i = 0; i < room.size(); ++i) room[i] = std::byte{0xee};
    for (std::int64_t i = 0; i < 4 * tiles; ++i) starts.push_back(start.data() + i % 4 * stride);
    call = {v.data(), channels, tiles, weights.data(), starts.data(), column, sums.data(), stride, room.data()};
  }

  void run(const WinogradKernels& kernels) {
    for (std::int64_t t = 0; t < call.tiles; ++t) {
      const std::uint8_t* pixels[16];
      for (std::int64_t i = 0; i < 16; ++i) pixels[i] = codes.data() + (t * 16 + i) * call.channels;
      kernels.input(pixels, call.channels, v.data() + t * ((call.channels + 15) / 16 * 16),
                    winograd_plane(call.tiles, call.channels));
    }
    kernels.products(call);
  }

  std::int32_t plain(std::int64_t tile, std::int64_t i, std::int64_t j, std::int64_t o) {
    std::int32_t sum = 0;
    for (std::int64_t tap = 0; tap < 9; ++tap) {
      const std::uint8_t* const pixel = codes.data() + (tile * 16 + (i + tap / 3) * 4 + j + tap % 3) * call.channels;
      for (std::int64_t c = 0; c < call.channels; ++c)
        sum += pixel[c] * static_cast<std::int8_t>(weights[(c / 2 * 9 + tap) * 32 + o * 2 + c % 2]);
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
            << what << " channels " << call.channels << " tiles " << call.tiles << " at tile " << tile << " (" << i
            << ", " << j << "), output " << o;
    }
  }

  static constexpr std::int64_t column = 16, stride = 32 + 16;
  Guarded<std::uint8_t> codes, weights;
  Guarded<std::int16_t> v;
  Guarded<std::int32_t> start, sums;
  Guarded<std::byte> room;
  std::vector<const std::int32_t*> starts;
  WinogradCall call;
};

TEST(Winograd, SumsAreThePlainOnes) {
  for (const WinogradKernels& kernels : rows_of(winograd_table)) {
    Random random(3);
    for (const Fill fill : {Fill::random, Fill::largest, Fill::alternating}) {
      for (const std::int64_t channels : {16, 17, 18, 31, 32, 33, 47, 127, 128, 129, 150, 257}) {
        for (const std::int64_t tiles : {1, 2, 4, 5, 6, 7, 11, 13, 25}) {
          if (channels > 64 && tiles > 7 && fill != Fill::random) continue;
          Filter filter(channels, tiles, fill, random);
          filter.run(kernels);
          filter.expect_plain_sums(kernels.name);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

/// The largest sum that a caller proves.
TEST(Winograd, FourTimesASumMayFillThirtyTwoBits) {
  for (const WinogradKernels& kernels : rows_of(winograd_table)) {
    Random random(4);
    constexpr std::int64_t channels = 1826;  // 9 * 1826 * 128 * 255 = 2^29 - 459392
    Filter filter(channels, 2, Fill::largest, random);
    for (std::int64_t i = 0; i < filter.weights.size(); ++i) filter.weights[i] = 0x80;
    filter.run(kernels);
    filter.expect_plain_sums(kernels.name);
    EXPECT_EQ(filter.sums[Filter::column] - filter.start[Filter::column], -9 * channels * 128 * 255);
  }
}

/// Half of the channels take the products far beyond 2^31, the other half brings them back.
TEST(Winograd, ProductsMayPassThirtyTwoBitsOnTheWay) {
  for (const WinogradKernels& kernels : rows_of(winograd_table)) {
    Random random(4);
    Filter filter(4000, 2, Fill::largest, random);
    for (std::int64_t i = 0; i < filter.weights.size(); ++i)
      filter.weights[i] = i < filter.weights.size() / 2 ? 0x7f : 0x81;
    filter.weights[0] = 0x7e;
    filter.run(kernels);
    filter.expect_plain_sums(kernels.name);
  }
}

TEST(Winograd, TransformedCodesOfNoChannelAreZero) {
  for (const WinogradKernels& kernels : rows_of(winograd_table)) {
    Random random(5);
    Filter filter(19, 1, Fill::largest, random);
    filter.run(kernels);
    for (std::int64_t p = 0; p < 16; ++p) {
      for (std::int64_t c = 19; c < 32; ++c)
        ASSERT_EQ(filter.v[p * winograd_plane(1, 19) + c], 0) << kernels.name << " element " << p << " channel " << c;
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
