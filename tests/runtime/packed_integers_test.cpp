// Lists of integers in a file: exact both ways, as small as their range, and refused when they lie about themselves.
#include "runtime/packed_integers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/random.h"

namespace nnq {
namespace {

using ::testing::HasSubstr;
using Values = std::vector<std::int64_t>;

Values round_trip(const Values& values, int width) {
  const PackedIntegers p = pack_integers(values);
  EXPECT_EQ(p.width, width);
  EXPECT_EQ(p.bits.size(), (values.size() * static_cast<std::size_t>(width) + 7) / 8);
  Values got;
  EXPECT_TRUE(unpack_integers(p, got).ok());
  return got;
}

TEST(PackedIntegers, TakeTheBitsOfTheirRange) {
  for (const auto& [values, width] :
       std::vector<std::pair<Values, int>>{{{}, 1},
                                           {{7}, 1},
                                           {{-5, -5, -5}, 1},
                                           {{never_passed, never_passed}, 1},
                                           {{-512, 512}, 1},         // one unit of 1024
                                           {{-512, -510, 512}, 10},  // units of 2: 0 .. 512
                                           {{-512, -510, 510}, 9},   // 0 .. 511
                                           {{-512, -510, 510, never_passed}, 10},
                                           {{0, 1, 2, never_passed}, 2},
                                           {{std::int64_t{-1} << 32, (std::int64_t{1} << 32) - 1, never_passed}, 1 + 1},
                                           {{-4294967295, 0, 4294967295, 1, never_passed}, 33}}) {
    EXPECT_EQ(round_trip(values, width), values) << ::testing::PrintToString(values);
  }
}

TEST(PackedIntegers, LiesAreRefused) {
  const auto message = [](PackedIntegers p) {
    Values values;
    return unpack_integers(p, values).message();
  };
  const PackedIntegers good = pack_integers(Values{3, 4, 9});
  EXPECT_EQ(message(good), "");
  const auto with = [&](auto change) {
    PackedIntegers p = good;
    change(p);
    return message(p);
  };
  EXPECT_THAT(with([](auto& p) { p.width = 0; }), HasSubstr("impossible"));
  EXPECT_THAT(with([](auto& p) { p.width = 35; }), HasSubstr("impossible"));
  EXPECT_THAT(with([](auto& p) { p.unit = 0; }), HasSubstr("impossible"));
  EXPECT_THAT(with([](auto& p) { p.base = std::int64_t{1} << 40; }), HasSubstr("impossible"));
  EXPECT_THAT(with([](auto& p) { p.count = std::int64_t{1} << 62; }), HasSubstr("do not fit"));
  EXPECT_THAT(with([](auto& p) { p.count = -1; }), HasSubstr("do not fit"));
  EXPECT_THAT(with([](auto& p) { p.bits.push_back(0); }), HasSubstr("do not fit"));
  EXPECT_THAT(with([](auto& p) { p.unit = std::int64_t{1} << 33; }), HasSubstr("out of range"));
}

Epilogue thresholds(std::int32_t levels, std::vector<std::int32_t> t, std::vector<std::int8_t> direction) {
  Epilogue e;
  e.kind = Epilogue::Kind::thresholds;
  e.levels = levels;
  e.thresholds = std::move(t);
  e.direction = std::move(direction);
  return e;
}

constexpr std::int32_t up = std::numeric_limits<std::int32_t>::max(), down = std::numeric_limits<std::int32_t>::min();

TEST(PackedThresholds, EveryIntegerComesBack) {
  const std::vector<Epilogue> all = {
      thresholds(1, {5, -7, up}, {1, 1, 1}), thresholds(1, {5, down, 9}, {1, -1, -1}),
      thresholds(3, {1, 2, up, -1, down, down, up, up, up}, {1, -1, 1}),
      thresholds(2, {down, up, up, down, 4, -4}, {1, -1, 1}),  // extremes on the wrong side, and out of order
  };
  for (const Epilogue& e : all) {
    Epilogue got = e;
    got.thresholds.clear();
    got.direction.clear();
    const Status status = unpack_thresholds(pack_thresholds(e), got);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(got.thresholds, e.thresholds);
    EXPECT_EQ(got.direction, e.direction);
  }
  EXPECT_TRUE(pack_thresholds(all[0]).falling.empty());
  EXPECT_EQ(pack_thresholds(all[1]).falling, (std::vector<std::uint8_t>{0b110}));
}

TEST(PackedThresholds, RandomOnesComeBackAndRisesAreSmaller) {
  Random random(3);
  for (int round = 0; round < 50; ++round) {
    const auto channels = 1 + random.below(40), levels = 1 + random.below(15);
    Epilogue e = thresholds(static_cast<std::int32_t>(levels), {}, {});
    for (std::uint64_t c = 0; c < channels; ++c) {
      e.direction.push_back(random.below(4) == 0 ? -1 : 1);
      std::int32_t t = static_cast<std::int32_t>(random.below(4000)) - 2000;
      for (std::uint64_t l = 0; l < levels; ++l) {
        e.thresholds.push_back(t * e.direction.back());
        t += static_cast<std::int32_t>(random.below(64));
      }
    }
    Epilogue got = e;
    const PackedThresholds packed = pack_thresholds(e);
    ASSERT_TRUE(unpack_thresholds(packed, got).ok());
    EXPECT_EQ(got.thresholds, e.thresholds);
    EXPECT_EQ(got.direction, e.direction);
    EXPECT_LE(packed.rises.width, 6);
    EXPECT_LE(packed.first.width, 12);
  }
}

TEST(PackedThresholds, SumsBeyond32BitsAndWrongCountsAreRefused) {
  const Epilogue e = thresholds(2, {up - 3, up - 1, 0, 1}, {1, 1});
  PackedThresholds packed = pack_thresholds(e);
  Epilogue got = e;
  packed.rises.base += 4;
  EXPECT_THAT(unpack_thresholds(packed, got).message(), HasSubstr("beyond 32 bits"));
  packed = pack_thresholds(e);
  packed.channels = 3;
  EXPECT_THAT(unpack_thresholds(packed, got).message(), HasSubstr("do not match"));
  packed = pack_thresholds(e);
  packed.falling = {0, 0};
  EXPECT_THAT(unpack_thresholds(packed, got).message(), HasSubstr("flags"));
  got.levels = 0;
  EXPECT_FALSE(unpack_thresholds(pack_thresholds(e), got).ok());
}

}  // namespace
}  // namespace nnq
