#include "core/half.h"

#include <gtest/gtest.h>

#include <limits>

namespace nnq {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();

bool half_is_nan(std::uint16_t h) { return (h & 0x7c00u) == 0x7c00u && (h & 0x3ffu) != 0; }

TEST(Half, EveryValueComesBackFromFloat) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto h = static_cast<std::uint16_t>(i);
    const float f = half_to_float(h);
    if (half_is_nan(h)) {
      EXPECT_TRUE(std::isnan(f)) << i;
      EXPECT_TRUE(half_is_nan(float_to_half(f))) << i;
    } else {
      ASSERT_EQ(float_to_half(f), h) << i;
    }
  }
}

TEST(Half, KnownValues) {
  EXPECT_EQ(half_to_float(0x3c00), 1.0f);
  EXPECT_EQ(half_to_float(0xc000), -2.0f);
  EXPECT_EQ(half_to_float(0x7bff), 65504.0f);
  EXPECT_EQ(half_to_float(0x0400), 0x1p-14f);
  EXPECT_EQ(half_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(half_to_float(0x3555), 0.333251953125f);
  EXPECT_EQ(half_to_float(0xfc00), -inf);
  EXPECT_TRUE(std::signbit(half_to_float(0x8000)));
}

// Between neighbours a < b: below the middle goes to a, above it to b, the middle to the even one of the two.
TEST(Half, RoundsToNearestEvenBetweenAllNeighbours) {
  for (std::uint16_t h = 0; h < 0x7bff; ++h) {
    const auto up = static_cast<std::uint16_t>(h + 1);
    const float a = half_to_float(h), b = half_to_float(up), middle = (a + b) / 2;  // exact: 12 bits at most
    ASSERT_EQ(float_to_half(middle), (h & 1) == 0 ? h : up) << h;
    ASSERT_EQ(float_to_half(std::nextafter(middle, 0.0f)), h) << h;
    ASSERT_EQ(float_to_half(std::nextafter(middle, inf)), up) << h;
    ASSERT_EQ(float_to_half(-middle), 0x8000u | ((h & 1) == 0 ? h : up)) << h;
  }
}

TEST(Half, OverflowsToInfinityAtTheMiddleBeyondTheLargest) {
  EXPECT_EQ(float_to_half(65519.996f), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_half(-1e30f), 0xfc00);
  EXPECT_EQ(float_to_half(inf), 0x7c00);
  EXPECT_EQ(float_to_half(0x1p-26f), 0);
  EXPECT_EQ(float_to_half(-std::numeric_limits<float>::denorm_min()), 0x8000);
}

TEST(BFloat, EveryValueComesBackFromFloat) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto b = static_cast<std::uint16_t>(i);
    const float f = bfloat_to_float(b);
    if (std::isnan(f))
      ASSERT_TRUE(std::isnan(bfloat_to_float(float_to_bfloat(f)))) << i;
    else
      ASSERT_EQ(float_to_bfloat(f), b) << i;
  }
}

TEST(BFloat, RoundsToNearestEven) {
  EXPECT_EQ(float_to_bfloat(1.0f + 0x1p-8f), 0x3f80);            // the middle: even below
  EXPECT_EQ(float_to_bfloat(1.0f + 0x1p-7f + 0x1p-8f), 0x3f82);  // the middle: even above
  EXPECT_EQ(float_to_bfloat(1.0f + 0x1p-8f + 0x1p-20f), 0x3f81);
  EXPECT_EQ(float_to_bfloat(std::numeric_limits<float>::max()), 0x7f80);
  // A NaN whose bits are all in the lower half must not become an inf.
  EXPECT_TRUE(std::isnan(bfloat_to_float(float_to_bfloat(std::bit_cast<float>(0x7f800001u)))));
}

}  // namespace
}  // namespace nnq
