// The ai.nnq operators against numbers worked by hand from docs/quantized-graph.md and papers/01-bnn.md.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "helpers.h"

namespace nnq::test {
namespace {

Result own(const std::string& op, const std::vector<Tensor>& inputs, std::map<std::string, Attribute> attributes = {}) {
  return run(op, inputs, std::move(attributes), 1, kNnqDomain);
}

TEST(NnqOperators, QuantizeRoundsTiesToEvenAndClamps) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const Tensor x = f32({9}, {0.25F, 0.75F, 1.25F, -0.25F, 100, -100, nan, inf, -inf});
  const Tensor v = own("Quantize", {x, f32({1}, {0.5F})}, {{"min", std::int64_t{-2}}, {"max", std::int64_t{3}}})[0];
  EXPECT_EQ(v.to_float(), (Floats{0, 2, 2, -0.0F, 3, -2, -2, 3, -2}));
}

TEST(NnqOperators, QuantizeNeedsOneScaleAndARange) {
  EXPECT_NE(refusal("Quantize", {f32({2}, {1, 2}), f32({2}, {1, 1})},
                    {{"min", std::int64_t{0}}, {"max", std::int64_t{1}}}, 1, kNnqDomain),
            "");
  EXPECT_NE(refusal("Quantize", {f32({1}, {1}), f32({1}, {1})}, {{"min", std::int64_t{2}}, {"max", std::int64_t{1}}}, 1,
                    kNnqDomain),
            "");
  EXPECT_NE(refusal("Quantize", {f32({1}, {1}), f32({1}, {1})}, {}, 1, kNnqDomain), "");
}

TEST(NnqOperators, SignOfZeroIsPlusOne) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(own("Sign", {f32({5}, {0.0F, -0.0F, -1e-30F, 2, nan})})[0].to_float(), (Floats{1, 1, -1, 1, -1}));
}

TEST(NnqOperators, BucketizeCountsThresholdsReached) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const Tensor x = f32({8}, {-1, 0, -0.0F, 0.4F, 0.5F, 7, nan, -inf});
  EXPECT_EQ(own("Bucketize", {x, f32({3}, {0, 0.5F, 0.5F})}, {{"bits", std::int64_t{2}}})[0].to_float(),
            (Floats{0, 1, 1, 1, 3, 3, 0, 0}));
  // A list as long as the bits allow, and no longer; a matrix is no list.
  EXPECT_NE(refusal("Bucketize", {x, f32({4}, {0, 1, 2, 3})}, {{"bits", std::int64_t{2}}}, 1, kNnqDomain), "");
  EXPECT_NE(refusal("Bucketize", {x, f32({1, 3}, {0, 1, 2})}, {{"bits", std::int64_t{2}}}, 1, kNnqDomain), "");
  EXPECT_NE(refusal("Bucketize", {x, f32({1}, {0})}, {{"bits", std::int64_t{9}}}, 1, kNnqDomain), "");
}

TEST(NnqOperators, LevelsLookUpAndRefuseCodesBeyondTheTable) {
  EXPECT_EQ(own("Levels", {f32({2, 2}, {0, 3, 1, 2}), f32({4}, {-0.3F, 0, 0.7F, 9})})[0].to_float(),
            (Floats{-0.3F, 9, 0, 0.7F}));
  for (const float code : {4.0F, -1.0F, std::numeric_limits<float>::quiet_NaN()})
    EXPECT_NE(refusal("Levels", {f32({1}, {code}), f32({4}, {0, 1, 2, 3})}, {}, 1, kNnqDomain), "") << code;
}

TEST(NnqOperators, AffineRoundsTwice) {
  // x * a = 1 + 2^-11 + 2^-24 rounds to 1 + 2^-11; a fused multiply-add would keep the 2^-24.
  const float x = 1 + 0x1p-12F;
  EXPECT_EQ(own("Affine", {f32({1, 1}, {x}), f32({1}, {x}), f32({1}, {-(1 + 0x1p-11F)})})[0].to_float(), Floats{0});
}

TEST(NnqOperators, AffinePerChannelOfAnyAxis) {
  const Tensor x = f32({1, 2, 2}, {1, 2, 3, 4}), a = f32({2}, {10, 100}), b = f32({1}, {1});
  EXPECT_EQ(own("Affine", {x, a, b})[0].to_float(), (Floats{11, 21, 301, 401}));
  EXPECT_EQ(own("Affine", {x, a, b}, {{"axis", std::int64_t{-1}}})[0].to_float(), (Floats{11, 201, 31, 401}));
  EXPECT_NE(refusal("Affine", {x, f32({3}, {1, 2, 3}), b}, {}, 1, kNnqDomain), "");
}

TEST(NnqOperators, BitPlanesOfUniformFourBits) {
  // Codes 0, 15, 8, 5 -> integers -8, 7, 0, -3. Plane k holds bit k, element i at bit i.
  const Tensor planes = Tensor::of<std::uint8_t>({4, 1}, std::vector<std::uint8_t>{0b1010, 0b0010, 0b1010, 0b0110});
  const Tensor y = own("BitPlanes", {planes, f32({1, 4}, {1, 2, 4, 8}), f32({1}, {-8}), i64({2, 2})})[0];
  EXPECT_EQ(y.shape(), (Shape{2, 2}));
  EXPECT_EQ(y.to_float(), (Floats{-8, 7, 0, -3}));
}

TEST(NnqOperators, BitPlanesBinaryPerGroupAcrossBytes) {
  // [2, 5] binary: ten bits over two bytes; group 0 is +-1, group 1 is +-0.5.
  const Tensor planes = Tensor::of<std::uint8_t>({1, 2}, std::vector<std::uint8_t>{0b01010101, 0b00000010});
  const Tensor y = own("BitPlanes", {planes, f32({2, 1}, {2, 1}), f32({2}, {-1, -0.5F}), i64({2, 5})})[0];
  EXPECT_EQ(y.to_float(), (Floats{1, -1, 1, -1, 1, -0.5F, 0.5F, -0.5F, -0.5F, 0.5F}));
}

TEST(NnqOperators, BitPlanesRefusesWrongSizes) {
  const Tensor planes = Tensor::of<std::uint8_t>({1, 1}, std::vector<std::uint8_t>{1});
  EXPECT_NE(refusal("BitPlanes", {planes, f32({1, 1}, {2}), f32({1}, {-1}), i64({9})}, {}, 1, kNnqDomain), "");
  EXPECT_NE(refusal("BitPlanes", {planes, f32({3, 1}, {2, 2, 2}), f32({3}, {1, 1, 1}), i64({2, 4})}, {}, 1, kNnqDomain),
            "");
  EXPECT_NE(refusal("BitPlanes",
                    {planes, f32({1, 1}, {2}), f32({1}, {-1}), i64({std::int64_t{1} << 40, std::int64_t{1} << 40})}, {},
                    1, kNnqDomain),
            "");
}

TEST(NnqOperators, CodebookLooksUpPerGroup) {
  // Two planes, codes 0 1 2 3 | 3 2 1 0.
  const Tensor planes = Tensor::of<std::uint8_t>({2, 1}, std::vector<std::uint8_t>{0b01011010, 0b00111100});
  const Tensor y = own("Codebook", {planes, f32({2, 4}, {0, 1, 2, 3, 10, 11, 12, 13}), i64({2, 4})})[0];
  EXPECT_EQ(y.to_float(), (Floats{0, 1, 2, 3, 13, 12, 11, 10}));
}

TEST(NnqOperators, BucketCodebookScalesItsPoints) {
  // Codes 0 1 2 3 | 3 2 1 of [7] in buckets of 4: ranges 0..8 and -1..1.
  const Tensor planes = Tensor::of<std::uint8_t>({2, 1}, std::vector<std::uint8_t>{0b01011010, 0b00111100});
  const std::map<std::string, Attribute> bucket{{"bucket", std::int64_t{4}}};
  const Tensor points = f32({4}, {0, 0.25F, 0.5F, 1}), low = f32({2}, {0, -1}), high = f32({2}, {8, 1});
  const Tensor y = own("BucketCodebook", {planes, points, low, high, i64({7})}, bucket)[0];
  EXPECT_EQ(y.shape(), (Shape{7}));
  EXPECT_EQ(y.to_float(), (Floats{0, 2, 4, 8, 1, 0, -0.5F}));
  const auto refused = [&](const std::vector<Tensor>& inputs, std::int64_t size) {
    return refusal("BucketCodebook", inputs, {{"bucket", size}}, 1, kNnqDomain) != "";
  };
  EXPECT_FALSE(refused({planes, points, low, high, i64({7})}, 4));
  EXPECT_TRUE(refused({planes, points, low, high, i64({7})}, 0));
  EXPECT_TRUE(refused({planes, points, low, high, i64({7})}, 3));
  EXPECT_TRUE(refused({planes, points, low, high, i64({9})}, 5));
  EXPECT_TRUE(refused({planes, f32({2}, {0, 1}), low, high, i64({7})}, 4));
  EXPECT_TRUE(refused({planes, points, low, f32({1}, {1}), i64({7})}, 4));
  EXPECT_TRUE(refused({planes, points, f32({1, 2}, {0, -1}), high, i64({7})}, 4));
}

TEST(NnqOperators, QuantizerIsTheIdentity) {
  const Tensor x = f32({3}, {0.1F, -2, 7});
  EXPECT_EQ(own("Quantizer", {x, f32({1}, {1})}, {{"method", std::string("dorefa")}})[0], x);
}

TEST(NnqOperators, AQuantizedStateNeedsAPlainForwardLayer) {
  const auto lstm = [](std::map<std::string, Attribute> attributes, const Tensor& lengths, const Tensor& peepholes) {
    attributes["state_bits"] = std::int64_t{2};
    return refusal("LSTM",
                   {f32({1, 1, 1}, {1}), f32({1, 4, 1}, Floats(4, 1)), f32({1, 4, 1}, Floats(4, 1)), Tensor(), lengths,
                    Tensor(), Tensor(), peepholes},
                   std::move(attributes), 1, kNnqDomain);
  };
  const auto gru = [](std::int64_t linear) {
    return refusal("GRU", {f32({1, 1, 1}, {1}), f32({1, 3, 1}, Floats(3, 1)), f32({1, 3, 1}, Floats(3, 1))},
                   {{"state_bits", std::int64_t{2}}, {"linear_before_reset", linear}}, 1, kNnqDomain);
  };
  const std::string reason = "plain forward layer";
  EXPECT_EQ(lstm({}, Tensor(), Tensor()), "");
  EXPECT_EQ(gru(1), "");
  EXPECT_THAT(gru(0), testing::HasSubstr(reason));
  EXPECT_THAT(lstm({{"direction", std::string("reverse")}}, Tensor(), Tensor()), testing::HasSubstr(reason));
  EXPECT_THAT(lstm({{"layout", std::int64_t{1}}}, Tensor(), Tensor()), testing::HasSubstr(reason));
  EXPECT_THAT(lstm({{"clip", 1.0F}}, Tensor(), Tensor()), testing::HasSubstr(reason));
  EXPECT_THAT(lstm({{"input_forget", std::int64_t{1}}}, Tensor(), Tensor()), testing::HasSubstr(reason));
  EXPECT_THAT(lstm({}, Tensor::of<std::int32_t>({1}, std::vector<std::int32_t>{1}), Tensor()),
              testing::HasSubstr(reason));
  EXPECT_THAT(lstm({}, Tensor(), f32({1, 3}, Floats(3, 1))), testing::HasSubstr(reason));
}

TEST(NnqOperators, ShiftBatchNormalizationOfTheSheet) {
  // Item 2 of the sheet at test time: mu = 3, r = 0.48507 -> AP2 0.5, gamma 0.7 -> AP2 0.5.
  const Tensor x = f32({4, 1}, {1, 2, 3, 6});
  const Tensor y =
      own("ShiftBatchNormalization", {x, f32({1}, {0.7F}), f32({1}, {0}), f32({1}, {3}), f32({1}, {0.48507F})})[0];
  EXPECT_EQ(y.to_float(), (Floats{-0.5F, -0.25F, 0, 0.75F}));
}

TEST(NnqOperators, ShiftBatchNormalizationRoundsToPowersOfTwo) {
  // Item 1: AP2 of 3, 5, 6, 10, 0.7, 0.3, -1.5, 1.4142, 1.4143, 0 (gamma), with inverse_std 1.
  const Floats gamma{3, 5, 6, 10, 0.7F, 0.3F, -1.5F, 1.4142F, 1.4143F, 0};
  const Tensor ones = f32({10}, Floats(10, 1)), zeros = f32({10}, Floats(10, 0));
  const Tensor y =
      own("ShiftBatchNormalization", {f32({1, 10}, Floats(10, 1)), f32({10}, gamma), zeros, zeros, ones})[0];
  EXPECT_EQ(y.to_float(), (Floats{4, 4, 8, 8, 0.5F, 0.25F, -2, 1, 2, 0}));
}

}  // namespace
}  // namespace nnq::test
