// The tricky corners of the standard operators against numbers worked by hand.
#include <cmath>
#include <limits>

#include "helpers.h"

namespace nnq::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

Tensor iota(Shape shape) {
  Tensor t(DType::f32, std::move(shape));
  for (std::int64_t i = 0; i < t.count(); ++i) t.mutable_as<float>()[i] = static_cast<float>(i);
  return t;
}

// ---- element-wise

TEST(Elementwise, RoundGoesToEven) {
  EXPECT_EQ(run("Round", {f32({6}, {0.5F, 1.5F, 2.5F, -0.5F, -1.5F, 2.4F})})[0].to_float(),
            (Floats{0, 2, 2, -0.0F, -2, 2}));
}

TEST(Elementwise, ClipBoundsAreAttributesBeforeOpset11) {
  const Tensor x = f32({3}, {-2, 0.5F, 9});
  EXPECT_EQ(run("Clip", {x}, {{"min", 0.0F}, {"max", 6.0F}}, 7)[0].to_float(), (Floats{0, 0.5F, 6}));
  EXPECT_EQ(run("Clip", {x, Tensor(), Tensor::scalar(1.0F)})[0].to_float(), (Floats{-2, 0.5F, 1}));
}

TEST(Elementwise, IntegerArithmeticWrapsAndNeverTraps) {
  const auto i8 = [](std::vector<std::int8_t> v) { return Tensor::of({static_cast<std::int64_t>(v.size())}, v); };
  EXPECT_EQ(run("Add", {i8({127, -128}), i8({1, -1})})[0], i8({-128, 127}));
  const Tensor lowest = i64({std::numeric_limits<std::int64_t>::min()});
  EXPECT_EQ(run("Div", {lowest, i64({-1})})[0], lowest);
  EXPECT_EQ(run("Div", {i64({7, -7}), i64({0, 2})})[0], i64({0, -3}));
  EXPECT_EQ(run("Mod", {i64({-7, 7, 5}), i64({3, -3, 0})})[0], i64({2, -2, 0}));
  EXPECT_EQ(run("Abs", {lowest})[0], lowest);
}

TEST(Elementwise, BroadcastsBothWays) {
  const Tensor y = run("Sub", {f32({2, 1}, {10, 20}), f32({3}, {1, 2, 3})})[0];
  EXPECT_EQ(y.shape(), (Shape{2, 3}));
  EXPECT_EQ(y.to_float(), (Floats{9, 8, 7, 19, 18, 17}));
  EXPECT_NE(refusal("Add", {f32({2}, {1, 2}), f32({3}, {1, 2, 3})}), "");
}

TEST(Elementwise, HalfPrecisionRoundsOnce) {
  const Tensor big = f32({1}, {2048}).cast(DType::f16), one = f32({1}, {1}).cast(DType::f16);
  EXPECT_EQ(run("Add", {big, one})[0].to_float(), Floats{2048});  // 2049 is a tie in half precision
  // 1 + 2^-11 + 2^-40 is above the tie between 1 and 1 + 2^-10; through float32 it would fall on the tie and to 1.
  const Tensor x = Tensor::scalar(1 + 0x1p-11 + 0x1p-40);
  EXPECT_EQ(run("Cast", {x}, {{"to", std::int64_t{10}}})[0].to_float(), Floats{1 + 0x1p-10F});
}

// ---- convolution

TEST(Convolution, ExactForIntegerValuedFloats) {
  // 4096 products of 255 * 255 and one of 1 * 1: the sum 266342400 + 1 does not fit float32, so it is rounded once.
  const std::int64_t n = 64;
  Tensor x(DType::f32, {1, n, 8, 8}), w(DType::f32, {1, n, 8, 8});
  for (auto& v : x.mutable_values<float>()) v = 15;
  for (auto& v : w.mutable_values<float>()) v = 7;
  x.mutable_as<float>()[0] = 1;
  w.mutable_as<float>()[0] = -1;
  EXPECT_EQ(run("Conv", {x, w})[0].to_float(), Floats{105 * 4095 - 1});
}

TEST(Convolution, PadsStridesDilationsGroups) {
  // One row of 5, kernel [1, 10], dilation 2, stride 2, pads 1 and 2: windows at -1, 1, 3.
  const std::map<std::string, Attribute> attributes{{"strides", Ints{2}}, {"dilations", Ints{2}}, {"pads", Ints{1, 2}}};
  const Tensor y = run("Conv", {f32({1, 1, 5}, {1, 2, 3, 4, 5}), f32({1, 1, 2}, {1, 10})}, attributes)[0];
  EXPECT_EQ(y.to_float(), (Floats{20, 42, 4}));
  const Tensor grouped = run("Conv", {f32({1, 2, 2}, {1, 2, 3, 4}), f32({2, 1, 1}, {10, 100}), f32({2}, {1, 2})},
                             {{"group", std::int64_t{2}}})[0];
  EXPECT_EQ(grouped.to_float(), (Floats{11, 21, 302, 402}));
}

TEST(Convolution, SamePaddingPutsTheOddElementWhereItSays) {
  const std::vector<Tensor> in{f32({1, 1, 4}, {1, 2, 3, 4}), f32({1, 1, 2}, {1, 10})};
  EXPECT_EQ(run("Conv", in, {{"auto_pad", std::string("SAME_UPPER")}})[0].to_float(), (Floats{21, 32, 43, 4}));
  EXPECT_EQ(run("Conv", in, {{"auto_pad", std::string("SAME_LOWER")}})[0].to_float(), (Floats{10, 21, 32, 43}));
}

TEST(Convolution, ManyPositionsAndFiltersMatchTheDefinition) {
  // Larger than one panel and not a multiple of the register tile, so every edge of the blocking is crossed.
  const std::int64_t channels = 3, size = 23, filters = 7;
  Tensor x(DType::f32, {2, channels, size, size}), w(DType::f32, {filters, channels, 3, 3});
  for (std::int64_t i = 0; i < x.count(); ++i) x.mutable_as<float>()[i] = static_cast<float>(i * 7 % 16);
  for (std::int64_t i = 0; i < w.count(); ++i) w.mutable_as<float>()[i] = static_cast<float>(i * 5 % 15 - 7);
  const Tensor y = run("Conv", {x, w}, {{"pads", Ints{1, 1, 1, 1}}, {"strides", Ints{2, 1}}})[0];
  ASSERT_EQ(y.shape(), (Shape{2, filters, 12, size}));
  std::int64_t i = 0;
  for (std::int64_t n = 0; n < 2; ++n)
    for (std::int64_t f = 0; f < filters; ++f)
      for (std::int64_t r = 0; r < 12; ++r)
        for (std::int64_t c = 0; c < size; ++c, ++i) {
          float sum = 0;
          for (std::int64_t k = 0; k < channels; ++k)
            for (std::int64_t a = 0; a < 3; ++a)
              for (std::int64_t b = 0; b < 3; ++b) {
                const std::int64_t p = 2 * r + a - 1, q = c + b - 1;
                if (p < 0 || q < 0 || p >= size || q >= size) continue;
                sum += x.as<float>()[((n * channels + k) * size + p) * size + q] *
                       w.as<float>()[((f * channels + k) * 3 + a) * 3 + b];
              }
          ASSERT_EQ(y.as<float>()[i], sum) << i;
        }
}

TEST(Convolution, RefusesWhatDoesNotFit) {
  const Tensor x = iota({1, 4, 5, 5});
  EXPECT_NE(refusal("Conv", {x, iota({2, 3, 3, 3})}), "");
  EXPECT_NE(refusal("Conv", {x, iota({2, 2, 3, 3})}, {{"group", std::int64_t{3}}}), "");
  EXPECT_NE(refusal("Conv", {x, iota({2, 4, 6, 6})}), "");
  EXPECT_NE(refusal("Conv", {x, iota({2, 4, 3, 3}), iota({3})}), "");
  EXPECT_NE(refusal("Conv", {x, iota({2, 4, 3, 3})}, {{"strides", Ints{0, 1}}}), "");
  EXPECT_NE(refusal("Conv", {x, iota({2, 4, 3, 3})}, {{"pads", 1.0F}}), "");
}

TEST(Convolution, TransposeScattersAndCrops) {
  // Stride 2, kernel [1, 10, 100]: 1 -> 1 10 100, 2 shifted by two; then one element cropped at each side.
  const std::vector<Tensor> in{f32({1, 1, 2}, {1, 2}), f32({1, 1, 3}, {1, 10, 100})};
  EXPECT_EQ(run("ConvTranspose", in, {{"strides", Ints{2}}})[0].to_float(), (Floats{1, 10, 102, 20, 200}));
  EXPECT_EQ(run("ConvTranspose", in, {{"strides", Ints{2}}, {"pads", Ints{1, 1}}})[0].to_float(),
            (Floats{10, 102, 20}));
  EXPECT_EQ(run("ConvTranspose", in, {{"strides", Ints{2}}, {"output_padding", Ints{1}}})[0].to_float(),
            (Floats{1, 10, 102, 20, 200, 0}));
}

TEST(MatMul, BatchesBroadcastAndVectorsAreRowsOrColumns) {
  const Tensor a = iota({2, 1, 2, 3}), b = iota({3, 2});
  const Tensor y = run("MatMul", {a, b})[0];
  EXPECT_EQ(y.shape(), (Shape{2, 1, 2, 2}));
  EXPECT_EQ(y.to_float(), (Floats{10, 13, 28, 40, 46, 67, 64, 94}));
  EXPECT_EQ(run("MatMul", {f32({2}, {1, 10}), f32({2}, {3, 4})})[0].to_float(), Floats{43});
  EXPECT_EQ(run("MatMul", {f32({2}, {1, 10}), iota({2, 2})})[0].to_float(), (Floats{20, 31}));
}

TEST(Gemm, TransposesScalesAndBroadcastsC) {
  const Tensor y = run("Gemm", {iota({3, 2}), iota({2, 3}), f32({2, 1}, {100, 200})},
                       {{"transA", std::int64_t{1}}, {"transB", std::int64_t{1}}, {"alpha", 2.0F}, {"beta", 0.5F}})[0];
  // A' = [[0,2,4],[1,3,5]], B' = [[0,3],[1,4],[2,5]]
  EXPECT_EQ(y.to_float(), (Floats{2 * 10 + 50, 2 * 28 + 50, 2 * 13 + 100, 2 * 40 + 100}));
}

// ---- pooling

TEST(Pooling, CeilModeDropsAWindowThatStartsInThePadding) {
  const Tensor x = iota({1, 1, 5});
  const std::map<std::string, Attribute> base{{"kernel_shape", Ints{2}}, {"strides", Ints{2}}};
  auto ceil = base;
  ceil["ceil_mode"] = std::int64_t{1};
  EXPECT_EQ(run("MaxPool", {x}, base)[0].to_float(), (Floats{1, 3}));
  EXPECT_EQ(run("MaxPool", {x}, ceil)[0].to_float(), (Floats{1, 3, 4}));
  // Padded by one at both ends: windows at -1, 1, 3; a fourth would start at 5, in the end padding.
  ceil["pads"] = Ints{1, 1};
  EXPECT_EQ(run("MaxPool", {x}, ceil)[0].to_float(), (Floats{0, 2, 4}));
}

TEST(Pooling, AverageCountsPaddingOnlyWhenAsked) {
  const Tensor x = f32({1, 1, 4}, {2, 4, 6, 8});
  std::map<std::string, Attribute> a{
      {"kernel_shape", Ints{3}}, {"strides", Ints{3}}, {"pads", Ints{1, 0}}, {"ceil_mode", std::int64_t{1}}};
  EXPECT_EQ(run("AveragePool", {x}, a)[0].to_float(), (Floats{3, 7}));
  a["count_include_pad"] = std::int64_t{1};
  // The last window reaches past input and padding: what lies beyond them does not count.
  EXPECT_EQ(run("AveragePool", {x}, a)[0].to_float(), (Floats{2, 7}));
}

TEST(Pooling, IndicesPointIntoTheWholeTensor) {
  const auto result =
      run("MaxPool", {f32({1, 2, 2, 2}, {1, 5, 3, 4, 9, 6, 7, 8})}, {{"kernel_shape", Ints{2, 2}}}, 12, {}, 2);
  EXPECT_EQ(result[0].to_float(), (Floats{5, 9}));
  EXPECT_EQ(result[1].to_int64(), (Ints{1, 4}));
  const auto columns = run("MaxPool", {f32({1, 1, 2, 2}, {1, 5, 3, 4})},
                           {{"kernel_shape", Ints{2, 2}}, {"storage_order", std::int64_t{1}}}, 12, {}, 2);
  EXPECT_EQ(columns[1].to_int64(), Ints{2});
}

TEST(Pooling, GlobalAverageIsAnExactSumDividedOnce) {
  // 49 codes that sum to 100: 100 / 49 rounded once.
  Tensor x(DType::f32, {1, 1, 7, 7});
  x.mutable_as<float>()[3] = 100;
  EXPECT_EQ(run("GlobalAveragePool", {x})[0].to_float(), Floats{100.0F / 49.0F});
}

// ---- shapes and movement

TEST(Reshape, ZeroCopiesAndMinusOneFillsIn) {
  const Tensor x = iota({2, 3, 4});
  EXPECT_EQ(run("Reshape", {x, i64({0, -1})})[0].shape(), (Shape{2, 12}));
  EXPECT_EQ(run("Reshape", {iota({0, 3}), i64({3, 0})}, {{"allowzero", std::int64_t{1}}})[0].shape(), (Shape{3, 0}));
  EXPECT_NE(refusal("Reshape", {x, i64({5, -1})}), "");
  EXPECT_NE(refusal("Reshape", {x, i64({-1, -1})}), "");
  EXPECT_NE(refusal("Reshape", {x, i64({2, 3})}), "");
  EXPECT_NE(refusal("Reshape", {x, i64({24, 0, 0, 0})}), "");
}

TEST(Slice, NegativeStepsAndClampedEnds) {
  const Tensor x = iota({5});
  const auto cut = [&](std::int64_t start, std::int64_t end, std::int64_t step) {
    return run("Slice", {x, i64({start}), i64({end}), i64({0}), i64({step})})[0].to_float();
  };
  EXPECT_EQ(cut(-1, std::numeric_limits<std::int64_t>::min(), -2), (Floats{4, 2, 0}));
  EXPECT_EQ(cut(1, std::numeric_limits<std::int64_t>::max(), 3), (Floats{1, 4}));
  EXPECT_EQ(cut(3, 1, 1), Floats{});
  EXPECT_EQ(cut(0, 5, std::numeric_limits<std::int64_t>::max()), Floats{0});
  EXPECT_EQ(run("Slice", {x}, {{"starts", Ints{1}}, {"ends", Ints{-1}}}, 9)[0].to_float(), (Floats{1, 2, 3}));
}

TEST(Gather, ChecksIndices) {
  const Tensor x = iota({3, 2});
  EXPECT_EQ(run("Gather", {x, i64({-1, 0})})[0].to_float(), (Floats{4, 5, 0, 1}));
  EXPECT_NE(refusal("Gather", {x, i64({3})}), "");
  EXPECT_NE(refusal("Gather", {x, i64({-4})}), "");
}

TEST(Pad, Modes) {
  const Tensor x = f32({3}, {1, 2, 3});
  const auto pad = [&](const char* mode, Ints pads) {
    return run("Pad", {x, i64(pads)}, {{"mode", std::string(mode)}})[0].to_float();
  };
  EXPECT_EQ(pad("constant", {1, 2}), (Floats{0, 1, 2, 3, 0, 0}));
  EXPECT_EQ(pad("reflect", {2, 2}), (Floats{3, 2, 1, 2, 3, 2, 1}));
  EXPECT_EQ(pad("edge", {1, 1}), (Floats{1, 1, 2, 3, 3}));
  EXPECT_EQ(pad("wrap", {1, 2}), (Floats{3, 1, 2, 3, 1, 2}));
  EXPECT_EQ(pad("constant", {-1, -1}), Floats{2});
  EXPECT_EQ(run("Pad", {x}, {{"pads", Ints{0, 1}}, {"value", -1.0F}}, 2)[0].to_float(), (Floats{1, 2, 3, -1}));
}

TEST(Softmax, FlattensBeforeOpset13) {
  const Tensor x = f32({1, 2, 2}, {0, 0, 0, 0});
  EXPECT_EQ(run("Softmax", {x}, {}, 11)[0].to_float(), Floats(4, 0.25F));
  EXPECT_EQ(run("Softmax", {x}, {}, 13)[0].to_float(), Floats(4, 0.5F));
  EXPECT_EQ(run("Softmax", {f32({2}, {1000, 1000})})[0].to_float(), Floats(2, 0.5F));
}

TEST(Reduce, AxesAsAttributeOrInput) {
  const Tensor x = iota({2, 3});
  EXPECT_EQ(run("ReduceSum", {x}, {{"axes", Ints{1}}, {"keepdims", std::int64_t{0}}}, 11)[0].to_float(),
            (Floats{3, 12}));
  EXPECT_EQ(run("ReduceSum", {x, i64({0})})[0].to_float(), (Floats{3, 5, 7}));
  EXPECT_EQ(run("ReduceMean", {x})[0].to_float(), Floats{2.5F});
  EXPECT_EQ(run("ReduceSum", {x, i64({})}, {{"noop_with_empty_axes", std::int64_t{1}}})[0], x);
  EXPECT_EQ(run("ReduceLogSumExp", {f32({2}, {1000, 1000})})[0].to_float(), Floats{1000 + std::log(2.0F)});
  EXPECT_EQ(run("ReduceMax", {f32({0, 2}, {}), i64({0})})[0].to_float(), Floats(2, -kInf));
  EXPECT_EQ(run("ReduceProd", {i64({3, 4})})[0].to_int64(), Ints{12});
}

TEST(BatchNormalization, InferenceAndTrainingStatistics) {
  const Tensor x = f32({2, 1, 2}, {1, 2, 3, 6}), one = f32({1}, {1}), zero = f32({1}, {0});
  // Given mean 2 and variance 4: (x - 2) / 2 * 3 + 1.
  const std::map<std::string, Attribute> exact{{"epsilon", 0.0F}};
  EXPECT_EQ(run("BatchNormalization", {x, f32({1}, {3}), one, f32({1}, {2}), f32({1}, {4})}, exact)[0].to_float(),
            (Floats{-0.5F, 1, 2.5F, 7}));
  // Batch mean 3, variance 3.5; running values from 0 and 1 with momentum 0.5.
  auto training = exact;
  training.insert({{"training_mode", std::int64_t{1}}, {"momentum", 0.5F}});
  const auto result = run("BatchNormalization", {x, one, zero, zero, one}, training, 15, {}, 3);
  EXPECT_FLOAT_EQ(result[0].to_float()[3], 3 / std::sqrt(3.5F));
  EXPECT_EQ(result[1].to_float(), Floats{1.5F});
  EXPECT_EQ(result[2].to_float(), Floats{2.25F});
}

// ---- resize

TEST(Resize, NearestRoundings) {
  const Tensor x = f32({1, 1, 1, 2}, {1, 2});
  const auto at = [&](const char* rounding, const char* coordinates) {
    return run("Resize", {x, Tensor(), f32({4}, {1, 1, 1, 2})},
               {{"nearest_mode", std::string(rounding)},
                {"coordinate_transformation_mode", std::string(coordinates)}})[0]
        .to_float();
  };
  // asymmetric: 0, 0.5, 1, 1.5
  EXPECT_EQ(at("round_prefer_floor", "asymmetric"), (Floats{1, 1, 2, 2}));
  EXPECT_EQ(at("round_prefer_ceil", "asymmetric"), (Floats{1, 2, 2, 2}));
  EXPECT_EQ(at("ceil", "asymmetric"), (Floats{1, 2, 2, 2}));
  // half_pixel: -0.25, 0.25, 0.75, 1.25
  EXPECT_EQ(at("floor", "half_pixel"), (Floats{1, 1, 1, 2}));
}

TEST(Resize, LinearAndItsCoordinates) {
  const Tensor x = f32({1, 1, 1, 2}, {0, 4});
  const auto linear = [&](const char* coordinates) {
    return run("Resize", {x, Tensor(), Tensor(), i64({1, 1, 1, 4})},
               {{"mode", std::string("linear")}, {"coordinate_transformation_mode", std::string(coordinates)}})[0]
        .to_float();
  };
  EXPECT_EQ(linear("half_pixel"), (Floats{0, 1, 3, 4}));
  EXPECT_EQ(linear("asymmetric"), (Floats{0, 2, 4, 4}));
  const Floats corners = linear("align_corners");
  EXPECT_FLOAT_EQ(corners[1], 4.0F / 3);
  EXPECT_FLOAT_EQ(corners[3], 4);
}

TEST(Resize, AntialiasAveragesWhenShrinking) {
  // Scale 1/2: x = 0.5, 2.5; the triangle of width 4 gives weights 1 3 3 1 (of 8), at the edges clamped.
  const Tensor y = run("Resize", {f32({1, 1, 1, 4}, {0, 8, 16, 24}), Tensor(), f32({4}, {1, 1, 1, 0.5F})},
                       {{"mode", std::string("linear")}, {"antialias", std::int64_t{1}}}, 18)[0];
  EXPECT_EQ(y.to_float(), (Floats{(0 + 0 + 3 * 8 + 16) / 8.0F, (8 + 3 * 16 + 3 * 24 + 24) / 8.0F}));
}

TEST(Resize, AxesAndAspectRatio) {
  const Tensor x = iota({1, 1, 2, 4});
  const std::map<std::string, Attribute> a{{"axes", Ints{2, 3}},
                                           {"keep_aspect_ratio_policy", std::string("not_larger")}};
  EXPECT_EQ(run("Resize", {x, Tensor(), Tensor(), i64({4, 6})}, a, 18)[0].shape(), (Shape{1, 1, 3, 6}));
}

TEST(Resize, OldVersionsAreAsymmetric) {
  const Tensor x = f32({1, 1, 1, 2}, {1, 2});
  EXPECT_EQ(run("Upsample", {x, f32({4}, {1, 1, 1, 2})}, {}, 9)[0].to_float(), (Floats{1, 1, 2, 2}));
  EXPECT_EQ(run("Upsample", {x}, {{"scales", Floats{1, 1, 1, 2}}}, 7)[0].to_float(), (Floats{1, 1, 2, 2}));
  EXPECT_EQ(run("Resize", {x, f32({4}, {1, 1, 1, 2})}, {{"mode", std::string("linear")}}, 10)[0].to_float(),
            (Floats{1, 1.5F, 2, 2}));
}

// ---- recurrent

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

TEST(Recurrent, LstmOfOneUnitByHand) {
  // Gates i, o, f, c with input weights 1..4 (tenths), recurrent 0.5, biases, peepholes.
  const Tensor x = f32({2, 1, 1}, {1, -1}), w = f32({1, 4, 1}, {0.1F, 0.2F, 0.3F, 0.4F}),
               r = f32({1, 4, 1}, {0.5F, 0.5F, 0.5F, 0.5F});
  const Tensor b = f32({1, 8}, {0.1F, 0, 0, 0, 0, 0, 0.2F, 0}), p = f32({1, 3}, {0.3F, 0.6F, 0.9F});
  const auto result =
      run("LSTM", {x, w, r, b, Tensor(), Tensor(), Tensor(), p}, {{"hidden_size", std::int64_t{1}}}, 14, {}, 3);
  double h = 0, c = 0;
  for (double v : {1.0, -1.0}) {
    const double i = sigmoid(0.1 * v + 0.5 * h + 0.1 + 0.3 * c), f = sigmoid(0.3 * v + 0.5 * h + 0.2 + 0.9 * c);
    c = f * c + i * std::tanh(0.4 * v + 0.5 * h);
    h = sigmoid(0.2 * v + 0.5 * h + 0.6 * c) * std::tanh(c);
  }
  ASSERT_EQ(result[0].shape(), (Shape{2, 1, 1, 1}));
  EXPECT_NEAR(result[0].to_float()[1], h, 1e-6);
  EXPECT_NEAR(result[1].to_float()[0], h, 1e-6);
  EXPECT_NEAR(result[2].to_float()[0], c, 1e-6);
}

TEST(Recurrent, GruResetBeforeOrAfterTheProduct) {
  const Tensor x = f32({1, 1, 1}, {1}), w = f32({1, 3, 1}, {0.1F, 0.2F, 0.3F}), r = f32({1, 3, 1}, {0.4F, 0.5F, 0.6F});
  const Tensor b = f32({1, 6}, {0, 0, 0, 0, 0, 0.7F}), h0 = f32({1, 1, 1}, {2});
  const double z = sigmoid(0.1 + 0.8), reset = sigmoid(0.2 + 1.0);
  const double after = std::tanh(0.3 + reset * (1.2 + 0.7)), before = std::tanh(0.3 + 0.6 * (reset * 2) + 0.7);
  const auto h = [&](std::int64_t linear) {
    return run("GRU", {x, w, r, b, Tensor(), h0}, {{"hidden_size", std::int64_t{1}}, {"linear_before_reset", linear}},
               14, {}, 2)[1]
        .to_float()[0];
  };
  EXPECT_NEAR(h(1), (1 - z) * after + z * 2, 1e-6);
  EXPECT_NEAR(h(0), (1 - z) * before + z * 2, 1e-6);
}

TEST(Recurrent, BothDirectionsWithSequenceLengths) {
  // RNN with identity activation (Affine 1, 0), weight 1, recurrence 1: running sums. Sequence 1 is one step long.
  const Tensor x = f32({3, 2, 1}, {1, 10, 2, 20, 3, 30}), ones = f32({2, 1, 1}, {1, 1});
  const Tensor lengths = Tensor::of<std::int32_t>({2}, std::vector<std::int32_t>{3, 1});
  const auto result = run("RNN", {x, ones, ones, Tensor(), lengths},
                          {{"hidden_size", std::int64_t{1}},
                           {"direction", std::string("bidirectional")},
                           {"activations", std::vector<std::string>{"Affine", "Affine"}}},
                          14, {}, 2);
  // Y [T, D, B, 1]
  EXPECT_EQ(result[0].to_float(), (Floats{1, 10, 6, 10, 3, 0, 5, 0, 6, 0, 3, 0}));
  EXPECT_EQ(result[1].to_float(), (Floats{6, 10, 6, 10}));
  const Tensor bad = Tensor::of<std::int32_t>({2}, std::vector<std::int32_t>{4, 1});
  EXPECT_NE(refusal("RNN", {x, f32({1, 1, 1}, {1}), f32({1, 1, 1}, {1}), Tensor(), bad}), "");
}

// ---- ONNX quantization

TEST(QuantizeLinear, RoundsTiesToEvenSaturatesAndFollowsTheAxis) {
  const Tensor x = f32({2, 3}, {0.5F, 1.5F, 1000, -1, 5, 3});
  const Tensor zero = Tensor::of<std::uint8_t>({2}, std::vector<std::uint8_t>{0, 2});
  const Tensor y = run("QuantizeLinear", {x, f32({2}, {1, 2}), zero}, {{"axis", std::int64_t{0}}})[0];
  EXPECT_EQ(y.to_int64(), (Ints{0, 2, 255, 2, 4, 4}));
  EXPECT_EQ(run("DequantizeLinear", {y, f32({2}, {1, 2}), zero}, {{"axis", std::int64_t{0}}})[0].to_float(),
            (Floats{0, 2, 255, 0, 4, 4}));
}

TEST(QuantizeLinear, Blocks) {
  const Tensor x = f32({1, 4}, {2, 4, 6, 8});
  const Tensor y =
      run("QuantizeLinear", {x, f32({1, 2}, {1, 2})}, {{"axis", std::int64_t{1}}, {"block_size", std::int64_t{2}}})[0];
  EXPECT_EQ(y.to_int64(), (Ints{2, 4, 3, 4}));
}

// ---- inference with free dimensions

ValueType inferred(const std::string& op, const std::vector<ValueType>& types,
                   std::map<std::string, Attribute> attributes = {}, const std::vector<Tensor>& constants = {}) {
  const Node node = make_node(op, types.size(), std::move(attributes));
  InferContext ctx{node, kOnnxOpset, {}, {}, {}};
  ctx.outputs.resize(1);
  for (std::size_t i = 0; i < types.size(); ++i) {
    ctx.inputs.push_back(&types[i]);
    ctx.constants.push_back(i < constants.size() && constants[i].defined() ? &constants[i] : nullptr);
  }
  const Status status = find_op("", op)->infer(ctx);
  EXPECT_TRUE(status.ok()) << status.message();
  return ctx.outputs[0];
}

const ValueType kImages{DType::f32, true, {Dim("N"), Dim(3), Dim("H"), Dim("W")}};

TEST(Inference, KeepsSymbols) {
  const ValueType w = ValueType::of(DType::f32, {16, 3, 3, 3});
  EXPECT_EQ(inferred("Conv", {kImages, w}, {{"pads", Ints{1, 1, 1, 1}}}).to_string(), "float32[N, 16, H, W]");
  EXPECT_EQ(inferred("Conv", {kImages, w}).to_string(), "float32[N, 16, ?, ?]");
  EXPECT_EQ(inferred("Relu", {kImages}).to_string(), "float32[N, 3, H, W]");
  EXPECT_EQ(inferred("Add", {kImages, ValueType::of(DType::f32, {3, 1, 1})}).to_string(), "float32[N, 3, H, W]");
  EXPECT_EQ(inferred("GlobalAveragePool", {kImages}).to_string(), "float32[N, 3, 1, 1]");
  EXPECT_EQ(inferred("Transpose", {kImages}, {{"perm", Ints{0, 2, 3, 1}}}).to_string(), "float32[N, H, W, 3]");
}

TEST(Inference, ReshapeOfABatch) {
  const ValueType x{DType::f32, true, {Dim("N"), Dim(16), Dim(4), Dim(4)}}, shape = ValueType::of(DType::i64, {2});
  EXPECT_EQ(inferred("Reshape", {x, shape}, {}, {Tensor(), i64({-1, 256})}).to_string(), "float32[N, 256]");
  EXPECT_EQ(inferred("Reshape", {x, shape}, {}, {Tensor(), i64({0, -1})}).to_string(), "float32[N, 256]");
  EXPECT_EQ(inferred("Reshape", {x, shape}).to_string(), "float32[?, ?]");
  EXPECT_EQ(inferred("Flatten", {x}).to_string(), "float32[N, 256]");
}

}  // namespace
}  // namespace nnq::test
