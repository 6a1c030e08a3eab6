#include "nnq/encoding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/random.h"

namespace nnq {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Floats = std::vector<float>;

Bytes random_codes(std::size_t count, int bits, std::uint64_t seed) {
  Random random(seed);
  Bytes codes(count);
  for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random.below(1u << bits));
  return codes;
}

/// A valid encoding of the kind with random levels; [4, 3], one group a row when `groups` is 4.
Encoding example(EncodingKind kind, int bits, std::int64_t groups) {
  Encoding e;
  e.kind = kind;
  e.bits = bits;
  e.shape = {4, 3};
  e.groups = groups;
  e.codes = random_codes(12, bits, 3);
  const auto g = static_cast<std::size_t>(groups), b = static_cast<std::size_t>(bits);
  Random random(5);
  const auto fill = [&](std::size_t n) {
    Floats values(n);
    for (float& v : values) v = random.uniform(-1.0f, 1.0f);
    return values;
  };
  if (kind == EncodingKind::uniform) {
    e.scale = fill(g);
    e.zero_point.assign(g, 1 << (bits - 1));
  } else if (kind == EncodingKind::bit_planes) {
    e.offset = fill(g);
    e.plane_scale = fill(g * b);
  } else {
    e.table = fill(g << bits);
  }
  return e;
}

constexpr EncodingKind kinds[] = {EncodingKind::uniform, EncodingKind::bit_planes, EncodingKind::codebook};

TEST(Planes, PackAndUnpackAtOddSizes) {
  for (int bits = 1; bits <= 8; ++bits) {
    for (const std::size_t count : {0u, 1u, 7u, 8u, 9u, 63u, 64u, 65u, 1000u}) {
      const Bytes codes = random_codes(count, bits, count);
      const Bytes planes = pack_planes(codes, bits);
      ASSERT_EQ(planes.size(), static_cast<std::size_t>(bits) * ((count + 7) / 8));
      ASSERT_EQ(unpack_planes(planes, bits, static_cast<std::int64_t>(count)), codes) << bits << " bits, " << count;
    }
  }
}

TEST(Planes, LayoutIsPlaneByPlaneLeastSignificantFirst) {
  // codes 1, 2, 3, 0, 0, 0, 0, 0, 2: plane 0 holds bits 0 of all, then plane 1.
  const Bytes codes = {1, 2, 3, 0, 0, 0, 0, 0, 2};
  EXPECT_EQ(pack_planes(codes, 2), (Bytes{0b101, 0, 0b110, 1}));
  // Bits beyond the last code are zero, and ignored when read.
  EXPECT_EQ(unpack_planes(Bytes{0b101, 0b11111110, 0b110, 1}, 2, 9), codes);
}

TEST(Planes, UnpackRefusesWhatDoesNotFit) {
  EXPECT_TRUE(unpack_planes(Bytes{1}, 0, 1).empty());
  EXPECT_TRUE(unpack_planes(Bytes(9), 9, 1).empty());
  EXPECT_TRUE(unpack_planes(Bytes{1, 2, 3}, 2, 9).empty());
  EXPECT_TRUE(unpack_planes(Bytes{1}, 1, -1).empty());
  EXPECT_TRUE(unpack_planes(Bytes{1}, 1, std::numeric_limits<std::int64_t>::max()).empty());
  EXPECT_TRUE(unpack_planes(Bytes{1}, 8, std::numeric_limits<std::int64_t>::max()).empty());
}

TEST(Encoding, DecodesUniform) {
  Encoding e;
  e.bits = 2;
  e.shape = {2, 2};
  e.groups = 2;
  e.codes = {0, 1, 2, 3};
  e.scale = {0.5f, 2.0f};
  e.zero_point = {1, 2};
  ASSERT_TRUE(e.check().ok()) << e.check().message();
  EXPECT_EQ(e.decode().to_float(), (Floats{-0.5f, 0.0f, 0.0f, 2.0f}));
  EXPECT_EQ(e.decode().shape(), (Shape{2, 2}));
}

TEST(Encoding, DecodesBitPlanes) {
  Encoding e;
  e.kind = EncodingKind::bit_planes;
  e.bits = 2;
  e.shape = {4};
  e.codes = {0, 1, 2, 3};
  e.offset = {-1.5f};
  e.plane_scale = {0.25f, 2.0f};
  ASSERT_TRUE(e.check().ok());
  EXPECT_EQ(e.decode().to_float(), (Floats{-1.5f, -1.25f, 0.5f, 0.75f}));
}

TEST(Encoding, DecodesCodebookOfItsGroup) {
  Encoding e;
  e.kind = EncodingKind::codebook;
  e.bits = 1;
  e.shape = {2, 3};
  e.groups = 2;
  e.codes = {0, 1, 0, 1, 0, 1};
  e.table = {-7, 3, 100, 200};
  ASSERT_TRUE(e.check().ok());
  EXPECT_EQ(e.decode().to_float(), (Floats{-7, 3, -7, 200, 100, 200}));
}

/// [7] in buckets of 3: ranges 0..4, -1..1 and the single 5..6.
Encoding bucketed() {
  Encoding e;
  e.kind = EncodingKind::codebook;
  e.bits = 2;
  e.shape = {7};
  e.bucket = 3;
  e.groups = 3;
  e.codes = {0, 1, 3, 3, 2, 0, 0};
  e.table = {0, 0.25f, 0.5f, 1};
  e.low = {0, -1, 5};
  e.high = {4, 1, 6};
  return e;
}

TEST(Encoding, DecodesCodebookOfItsBucket) {
  const Encoding e = bucketed();
  ASSERT_TRUE(e.check().ok()) << e.check().message();
  EXPECT_EQ(e.decode().to_float(), (Floats{0, 1, 4, 1, 0, -1, 5}));
  EXPECT_EQ(e.level(1, 2), 0.0f);
  EXPECT_FALSE(e.integer_form().ok);
  EXPECT_EQ(e.packed_bytes(), 2u);
}

TEST(Encoding, BucketsReachTheirEndsExactly) {
  Random random(11);
  for (int i = 0; i < 1000; ++i) {  // beta + (max - beta) * 1 would miss max now and then
    const float low = random.uniform(-1.0f, 1.0f), high = low + random.uniform(0.0f, 1.0f);
    EXPECT_EQ(bucket_level(low, high, 0), low);
    EXPECT_EQ(bucket_level(low, high, 1), high);
  }
  EXPECT_EQ(bucket_level(-3e38f, 3e38f, 0.5f), 0) << "the range itself would overflow";
}

TEST(Encoding, NumberOfBuckets) {
  EXPECT_EQ(bucket_groups(0, 256), 1);
  EXPECT_EQ(bucket_groups(1, 256), 1);
  EXPECT_EQ(bucket_groups(256, 256), 1);
  EXPECT_EQ(bucket_groups(257, 256), 2);
  EXPECT_EQ(bucket_groups(std::numeric_limits<std::int64_t>::max(), 1), std::numeric_limits<std::int64_t>::max());
}

TEST(Encoding, InvalidBucketsAreRefused) {
  const auto refusal = [](void (*make)(Encoding&)) {
    Encoding e = bucketed();
    make(e);
    return e.check().message();
  };
  EXPECT_NE(refusal([](Encoding& e) { e.bucket = -1; }), "");
  EXPECT_NE(refusal([](Encoding& e) { e.bucket = 2; }).find("expected 4 groups"), std::string::npos);
  EXPECT_NE(refusal([](Encoding& e) { e.kind = EncodingKind::uniform; }).find("buckets go with a codebook"),
            std::string::npos);
  EXPECT_NE(refusal([](Encoding& e) { e.low.pop_back(); }).find("lows and highs"), std::string::npos);
  EXPECT_NE(refusal([](Encoding& e) { e.high[2] = std::numeric_limits<float>::infinity(); }), "");
  EXPECT_NE(refusal([](Encoding& e) { e.table.resize(12); }).find("a table of 4 values"), std::string::npos);
  EXPECT_NE(refusal([](Encoding& e) {
              e.bucket = 0;
              e.groups = 1;
            }).find("expected 0 lows"),
            std::string::npos);
}

TEST(Encoding, DecodeIsLevelOfEveryCodeInEveryKind) {
  for (const EncodingKind kind : kinds) {
    for (int bits = 1; bits <= 8; ++bits) {
      for (const std::int64_t groups : {1, 4}) {
        const Encoding e = example(kind, bits, groups);
        ASSERT_TRUE(e.check().ok()) << to_string(kind) << ": " << e.check().message();
        const Floats values = e.decode().to_float();
        for (std::size_t i = 0; i < values.size(); ++i)
          ASSERT_EQ(values[i], e.level(groups == 1 ? 0 : static_cast<std::int64_t>(i / 3), e.codes[i]));
        // The codes survive the layout of the file, and with them every value.
        Encoding back = e;
        back.codes = unpack_planes(pack_planes(e.codes, bits), bits, 12);
        EXPECT_EQ(back.decode(), e.decode());
        EXPECT_EQ(e.packed_bytes(), pack_planes(e.codes, bits).size());
      }
    }
  }
}

TEST(Encoding, EmptyTensorsAreAllowed) {
  Encoding e = example(EncodingKind::uniform, 3, 1);
  e.shape = {0, 3};
  e.codes.clear();
  EXPECT_TRUE(e.check().ok()) << e.check().message();
  EXPECT_EQ(e.decode().shape(), (Shape{0, 3}));
  EXPECT_EQ(e.packed_bytes(), 0u);
}

struct Fault {
  const char* name;
  EncodingKind kind;
  void (*make)(Encoding&);
  const char* message;
};

TEST(Encoding, InvalidOnesAreRefused) {
  static constexpr float nan = std::numeric_limits<float>::quiet_NaN();

  const Fault faults[] = {
      {"no bits", EncodingKind::uniform, [](Encoding& e) { e.bits = 0; }, "1 to 8 bits"},
      {"nine bits", EncodingKind::uniform, [](Encoding& e) { e.bits = 9; }, "1 to 8 bits"},
      {"a code less", EncodingKind::uniform, [](Encoding& e) { e.codes.pop_back(); }, "expected 12 codes, got 11"},
      {"shape", EncodingKind::uniform,
       [](Encoding& e) {
         e.shape = {-4, -3};
       },
       "codes"},
      {"overflow", EncodingKind::uniform,
       [](Encoding& e) {
         e.shape = {1ll << 62, 4};
       },
       "codes"},
      {"groups", EncodingKind::uniform, [](Encoding& e) { e.groups = 3; }, "groups must be"},
      {"no groups", EncodingKind::uniform, [](Encoding& e) { e.groups = 0; }, "groups must be"},
      {"code", EncodingKind::codebook, [](Encoding& e) { e.codes[5] = 8; }, "code 8 does not fit 3 bits"},
      {"scales", EncodingKind::uniform, [](Encoding& e) { e.scale.pop_back(); }, "scales"},
      {"zero points", EncodingKind::uniform, [](Encoding& e) { e.zero_point.push_back(0); }, "zero points"},
      {"scale", EncodingKind::uniform, [](Encoding& e) { e.scale[1] = nan; }, "not finite"},
      {"zero point", EncodingKind::uniform,
       [](Encoding& e) { e.zero_point[2] = std::numeric_limits<std::int32_t>::min(); }, "zero point"},
      {"offsets", EncodingKind::bit_planes, [](Encoding& e) { e.offset.pop_back(); }, "offsets"},
      {"planes", EncodingKind::bit_planes, [](Encoding& e) { e.plane_scale.pop_back(); }, "plane scales"},
      {"plane", EncodingKind::bit_planes, [](Encoding& e) { e.plane_scale[0] = nan; }, "not finite"},
      {"table", EncodingKind::codebook, [](Encoding& e) { e.table.pop_back(); }, "a table of 32 values, got 31"},
      {"value", EncodingKind::codebook, [](Encoding& e) { e.table[3] = nan; }, "not finite"},
  };
  for (const Fault& fault : faults) {
    Encoding e = example(fault.kind, 3, 4);
    ASSERT_TRUE(e.check().ok()) << fault.name;
    fault.make(e);
    const Status status = e.check();
    EXPECT_FALSE(status.ok()) << fault.name;
    EXPECT_NE(status.message().find(fault.message), std::string::npos) << fault.name << ": " << status.message();
  }
}

TEST(IntegerForm, OfUniformIsCodeMinusZeroPoint) {
  Encoding e = example(EncodingKind::uniform, 8, 4);
  const Encoding::IntegerForm form = e.integer_form();
  ASSERT_TRUE(form.ok);
  EXPECT_FALSE(form.binary);
  EXPECT_EQ(form.step, e.scale);
  const Floats values = e.decode().to_float();
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_EQ(form.step[i / 3] * static_cast<float>(form.values[i]), values[i]);
  e.zero_point[1] = 256;
  EXPECT_FALSE(e.integer_form().ok) << "an integer beyond 255";
}

TEST(IntegerForm, OfBinaryIsPlusMinusOne) {
  Encoding e;
  e.kind = EncodingKind::bit_planes;
  e.bits = 1;
  e.shape = {2, 2};
  e.groups = 2;
  e.codes = {0, 1, 1, 0};
  e.offset = {-0.3f, -2.0f};
  e.plane_scale = {0.6f, 4.0f};
  ASSERT_TRUE(e.check().ok());
  EXPECT_EQ(e.decode().to_float(), (Floats{-0.3f, 0.3f, 2.0f, -2.0f}));
  const Encoding::IntegerForm form = e.integer_form();
  ASSERT_TRUE(form.ok);
  EXPECT_TRUE(form.binary);
  EXPECT_EQ(form.values, (std::vector<std::int16_t>{-1, 1, 1, -1}));
  EXPECT_EQ(form.step, (Floats{0.3f, 2.0f}));
}

TEST(IntegerForm, OfPlanesOnlyWhenTheyDoubleAboutZero) {
  Encoding e;
  e.kind = EncodingKind::bit_planes;
  e.bits = 2;
  e.shape = {4};
  e.codes = {0, 1, 2, 3};
  e.offset = {-1.5f};
  e.plane_scale = {1.0f, 2.0f};
  ASSERT_TRUE(e.integer_form().ok);
  EXPECT_FALSE(e.integer_form().binary);
  EXPECT_EQ(e.integer_form().values, (std::vector<std::int16_t>{-3, -1, 1, 3}));
  EXPECT_EQ(e.integer_form().step, Floats{0.5f});
  e.plane_scale[1] = 2.5f;
  EXPECT_FALSE(e.integer_form().ok);
  e.plane_scale[1] = 2.0f;
  e.offset[0] = -1.0f;
  EXPECT_FALSE(e.integer_form().ok);
  EXPECT_FALSE(example(EncodingKind::codebook, 2, 1).integer_form().ok);
}

// Ternary: codes 0, 1, 2 about zero point 1. Not binary though no code is 1, as long as one could not know.
TEST(IntegerForm, OfTernaryIsBinaryOnlyWithoutZeros) {
  Encoding e;
  e.bits = 2;
  e.shape = {4};
  e.codes = {0, 1, 2, 0};
  e.scale = {0.7f};
  e.zero_point = {1};
  EXPECT_EQ(e.integer_form().values, (std::vector<std::int16_t>{-1, 0, 1, -1}));
  EXPECT_FALSE(e.integer_form().binary);
  e.codes = {0, 2, 2, 0};
  EXPECT_TRUE(e.integer_form().binary);
}

TEST(EncodingKind, HasANameForMessages) {
  EXPECT_EQ(to_string(EncodingKind::uniform), "uniform");
  EXPECT_EQ(to_string(EncodingKind::bit_planes), "bit planes");
  EXPECT_EQ(to_string(EncodingKind::codebook), "codebook");
}

}  // namespace
}  // namespace nnq
