// Layers on bit planes with real scales: the interpreter against the plain real sum, the runtime against the
// interpreter bit for bit, the file, and what a checker must refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/random.h"
#include "nnq/encoding.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "runtime/interpreters_bits.h"

namespace nnq::test {
namespace {

using ::testing::HasSubstr;
using Floats = std::vector<float>;

struct PlanesSetting {
  std::string name;
  int weight_planes = 2, code_planes = 2;
  bool weight_signs = true, weight_offset = false, code_signs = false;
  float code_offset = 0;
  std::int64_t channels = 5, out = 11, groups = 1, height = 6, width = 7;
  Window window = {.kernel_h = 3, .kernel_w = 3, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
  bool dense = false;
};

/// x -> bucketize -> layer; the layer's tail is up to the test.
class Network {
 public:
  explicit Network(const PlanesSetting& s) : setting(s), random_(hash64(s.name)) {
    const int codes = 1 << s.code_planes;
    const Shape image = {2, s.channels, s.height, s.width};
    program.add_value({"x", ValueKind::tensor, ValueType::of(DType::f32, image), {}});
    program.add_value({"v",
                       ValueKind::codes,
                       ValueType::of(DType::f32, image),
                       {.sign = false, .min = 0, .max = codes - 1, .bits = s.code_planes}});
    program.inputs = {0};
    Step bucketize;
    bucketize.kind = StepKind::bucketize;
    bucketize.name = "bucketize";
    bucketize.inputs = {0};
    bucketize.outputs = {1};
    for (int i = 1; i < codes; ++i)
      bucketize.planes.thresholds.push_back(2 * static_cast<float>(i) / static_cast<float>(codes) - 1);
    program.steps.push_back(bucketize);
    program.steps.push_back(layer());
    x = Tensor(DType::f32, image);
    for (float& v : x.mutable_values<float>()) v = random_.uniform(-1.3F, 1.3F);
  }

  Floats floats(std::int64_t count, float low, float high) {
    Floats values(static_cast<std::size_t>(count));
    for (float& v : values) v = random_.uniform(low, high);
    return values;
  }

  Step& layer_step() { return program.steps[1]; }
  Shape output_shape() const {
    if (setting.dense) return {2, setting.out};
    const Window& w = setting.window;
    return {2, setting.out,
            (setting.height + w.pad_top + w.pad_bottom - (w.kernel_h - 1) * w.dilation_h - 1) / w.stride_h + 1,
            (setting.width + w.pad_left + w.pad_right - (w.kernel_w - 1) * w.dilation_w - 1) / w.stride_w + 1};
  }
  /// The layer makes a float32 output.
  void to_tensor() {
    program.add_value({"y", ValueKind::tensor, ValueType::of(DType::f32, output_shape()), {}});
    layer_step().outputs = {2};
    program.outputs = {2};
  }
  /// The layer makes codes, and a look-up of their levels is the output.
  void to_codes(const CodeType& code) {
    program.add_value({"c", ValueKind::codes, ValueType::of(DType::f32, output_shape()), code});
    program.add_value({"y", ValueKind::tensor, ValueType::of(DType::f32, output_shape()), {}});
    layer_step().outputs = {2};
    Step levels;
    levels.kind = StepKind::levels;
    levels.name = "levels";
    levels.inputs = {2};
    levels.outputs = {3};
    levels.planes.levels = floats(code.max - code.min + 1, -1, 1);
    program.steps.push_back(levels);
    program.outputs = {3};
  }

  PlanesSetting setting;
  Program program;
  Tensor x;

 private:
  Step layer() {
    const PlanesSetting& s = setting;
    Step step;
    step.kind = s.dense ? StepKind::plane_dense : StepKind::plane_convolution;
    step.name = "layer";
    step.inputs = {1};
    step.out_channels = s.out;
    step.in_channels = s.dense ? s.channels * s.height * s.width : s.channels;
    step.groups = s.groups;
    if (!s.dense) step.window = s.window;
    step.weights.bits = s.weight_planes;
    step.weights.count =
        s.out * step.window.kernel_h * step.window.kernel_w * (step.in_channels / std::max<std::int64_t>(s.groups, 1));
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(step.weights.count));
    for (std::uint8_t& c : codes) c = static_cast<std::uint8_t>(random_.below(std::uint64_t{1} << s.weight_planes));
    step.weights.owned = std::make_shared<const std::vector<std::uint8_t>>(pack_planes(codes, s.weight_planes));
    step.weights.data = step.weights.owned->data();
    RealPlanes& p = step.planes;
    p.weight_signs = s.weight_signs;
    p.code_signs = s.code_signs;
    p.code_offset = s.code_offset;
    p.weight_scale = floats(s.out * s.weight_planes, -0.5F, 1);
    if (s.weight_offset) p.weight_offset = floats(s.out, -1, 1);
    p.code_scale = floats(s.code_planes, -0.5F, 1);
    for (int code = 0; code < 1 << s.code_planes; ++code)
      p.patterns.push_back(static_cast<std::uint8_t>(code ^ (code >> 1)));  // any order of the planes will do
    step.epilogue.kind = Epilogue::Kind::affine;
    return step;
  }

  Random random_;
};

std::vector<Tensor> interpreted(const Network& network) {
  std::vector<Tensor> outputs;
  const Status status = interpret_program(network.program, {&network.x, 1}, outputs);
  EXPECT_TRUE(status.ok()) << status.message();
  return outputs;
}

void expect_runtime_agrees(const Network& network) {
  ASSERT_TRUE(check_program(network.program).ok()) << check_program(network.program).message();
  expect_interpreters_bits(network.program, {network.x}, "real planes");
}

/// The real sum in double: levels times weights, the border left out.
std::vector<double> real_sums(const Network& network) {
  const PlanesSetting& s = network.setting;
  const Step& step = network.program.steps[1];
  const RealPlanes& p = step.planes;
  const auto sum_of = [](double offset, const float* scale, int planes, int code, bool signs) {
    for (int k = 0; k < planes; ++k) {
      const int bit = code >> k & 1;
      offset += static_cast<double>(scale[k]) * (signs ? 2 * bit - 1 : bit);
    }
    return offset;
  };
  const std::vector<std::uint8_t> codes = unpack_planes(*step.weights.owned, step.weights.bits, step.weights.count);
  const Window w = s.dense ? Window{.kernel_h = s.height, .kernel_w = s.width} : s.window;
  const Shape out = network.output_shape();
  const std::int64_t out_h = s.dense ? 1 : out[2], out_w = s.dense ? 1 : out[3], group_in = s.channels / s.groups;
  std::vector<double> y;
  for (std::int64_t i = 0; i < 2 * s.out * out_h * out_w; ++i) {
    const std::int64_t ox = i % out_w, oy = i / out_w % out_h, o = i / out_w / out_h % s.out,
                       n = i / out_w / out_h / s.out;
    double sum = 0;
    for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
      for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
        const std::int64_t row = oy * w.stride_h + ky * w.dilation_h - w.pad_top,
                           column = ox * w.stride_w + kx * w.dilation_w - w.pad_left;
        if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
        for (std::int64_t c = 0; c < group_in; ++c) {
          const std::int64_t channel = o / (s.out / s.groups) * group_in + c;
          const float x = network.x.as<float>()[((n * s.channels + channel) * s.height + row) * s.width + column];
          const int code = bucket_of(network.program.steps[0].planes.thresholds, x);
          const std::size_t element =
              static_cast<std::size_t>(((o * w.kernel_h + ky) * w.kernel_w + kx) * group_in + c);
          const double level = sum_of(static_cast<double>(p.code_offset), p.code_scale.data(), s.code_planes,
                                      p.patterns[static_cast<std::size_t>(code)], p.code_signs);
          const double weight =
              sum_of(p.weight_offset.empty() ? 0.0 : static_cast<double>(p.weight_offset[static_cast<std::size_t>(o)]),
                     p.weight_scale.data() + o * s.weight_planes, s.weight_planes, codes[element], p.weight_signs);
          sum += level * weight;
        }
      }
    }
    y.push_back(sum);
  }
  return y;
}

std::vector<PlanesSetting> settings() {
  std::vector<PlanesSetting> list;
  for (const bool weight_signs : {false, true}) {
    for (const bool weight_offset : {false, true}) {
      for (const bool code_signs : {false, true}) {
        for (const float code_offset : {0.0F, -0.3F}) {
          PlanesSetting s;
          s.weight_signs = weight_signs;
          s.weight_offset = weight_offset;
          s.code_signs = code_signs;
          s.code_offset = code_offset;
          s.name = std::string("w") + (weight_signs ? "signs" : "bits") + (weight_offset ? "_offset" : "") + "_c" +
                   (code_signs ? "signs" : "bits") + (code_offset != 0 ? "_offset" : "");
          list.push_back(s);
        }
      }
    }
  }
  const auto add = [&](const std::string& name, const std::function<void(PlanesSetting&)>& change) {
    PlanesSetting s{.name = name, .weight_offset = true, .code_offset = 0.2F};
    change(s);
    list.push_back(s);
  };
  add("one_plane", [](PlanesSetting& s) { s.weight_planes = s.code_planes = 1; });
  add("many_planes", [](PlanesSetting& s) { s.weight_planes = 5, s.code_planes = 7; });
  add("eight_planes", [](PlanesSetting& s) { s.weight_planes = s.code_planes = 8; });
  add("wide", [](PlanesSetting& s) { s.channels = 70, s.out = 17; });
  add("byte_channels", [](PlanesSetting& s) { s.channels = 16, s.out = 8; });
  add("groups", [](PlanesSetting& s) { s.channels = 12, s.out = 9, s.groups = 3; });
  add("depthwise", [](PlanesSetting& s) { s.channels = s.out = s.groups = 9; });
  add("stride", [](PlanesSetting& s) { s.window.stride_h = 2, s.window.stride_w = 3; });
  add("dilation", [](PlanesSetting& s) { s.window.dilation_h = s.window.dilation_w = 2, s.window.pad_top = 3; });
  add("pointwise", [](PlanesSetting& s) { s.window = {}; });
  add("no_padding", [](PlanesSetting& s) { s.window = {.kernel_h = 5, .kernel_w = 2}; });
  add("dense_of_an_image", [](PlanesSetting& s) { s.dense = true; });
  add("dense", [](PlanesSetting& s) { s.dense = true, s.height = s.width = 1, s.channels = 130; });
  return list;
}

std::string planes_title(const ::testing::TestParamInfo<PlanesSetting>& info) { return info.param.name; }

class RealPlanesLayer : public ::testing::TestWithParam<PlanesSetting> {};

TEST_P(RealPlanesLayer, IsTheRealSum) {
  Network network(GetParam());
  network.to_tensor();
  const std::vector<double> expected = real_sums(network);
  const std::vector<Tensor> got = interpreted(network);
  ASSERT_EQ(got[0].count(), static_cast<std::int64_t>(expected.size()));
  double most = 0;
  for (const double y : expected) most = std::max(most, std::abs(y));
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(static_cast<double>(got[0].as<float>()[i]), expected[i], 1e-5 * most) << i;
  expect_runtime_agrees(network);
}

TEST_P(RealPlanesLayer, TailsAgreeWithTheInterpreter) {
  const auto affine = [](Network& n) {
    n.layer_step().epilogue.a = n.floats(n.setting.out, -0.6F, 0.6F);
    n.layer_step().epilogue.b = n.floats(n.setting.out, -0.4F, 0.4F);
  };
  {
    Network network(GetParam());
    affine(network);
    network.layer_step().epilogue.relu = true;
    network.to_tensor();
    expect_runtime_agrees(network);
  }
  {
    Network network(GetParam());
    affine(network);
    network.layer_step().planes.thresholds = {-0.5F, 0, 0.25F, 0.25F, 0.9F};
    network.to_codes({.sign = false, .min = 0, .max = 5, .bits = 3});
    expect_runtime_agrees(network);
  }
  {
    Network network(GetParam());
    affine(network);
    Epilogue& e = network.layer_step().epilogue;
    e.kind = Epilogue::Kind::requantize;
    e.scale = 0.2F;
    e.min = -4;
    e.max = 3;
    network.to_codes({.sign = false, .min = -4, .max = 3, .bits = 3});
    expect_runtime_agrees(network);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RealPlanesLayer, ::testing::ValuesIn(settings()), planes_title);

TEST(RealPlanes, AResidualIsAddedBehindTheAffine) {
  Network network({.name = "residual", .out = 5});
  network.layer_step().epilogue.a = network.floats(5, -0.6F, 0.6F);
  network.layer_step().epilogue.b = network.floats(5, -0.4F, 0.4F);
  network.layer_step().inputs = {1, 0};  // x itself has the output's shape
  network.to_tensor();
  const Tensor with = interpreted(network)[0];
  expect_runtime_agrees(network);
  network.layer_step().inputs = {1};
  const Tensor without = interpreted(network)[0];
  for (std::int64_t i = 0; i < with.count(); ++i)
    EXPECT_EQ(with.as<float>()[i], without.as<float>()[i] + network.x.as<float>()[i]);
  network.layer_step().inputs = {1, 0};
  network.layer_step().epilogue.relu = true;
  network.program.values[2].kind = ValueKind::codes;
  network.program.values[2].code = {.sign = false, .min = 0, .max = 3, .bits = 2};
  network.program.outputs = {};
  network.layer_step().planes.thresholds = {0, 0.25F, 0.5F};
  network.program.add_value({"z", ValueKind::tensor, network.program.values[2].type, {}});
  Step levels;
  levels.kind = StepKind::levels;
  levels.inputs = {2};
  levels.outputs = {3};
  levels.planes.levels = {0, 1, 2, 3};
  network.program.steps.push_back(levels);
  network.program.outputs = {3};
  expect_runtime_agrees(network);
}

/// The numbers of docs/program.md.
TEST(RealPlanes, WorkedExample) {
  Program p;
  p.add_value({"x", ValueKind::tensor, ValueType::of(DType::f32, {1, 1, 1, 3}), {}});
  p.add_value({"v", ValueKind::codes, ValueType::of(DType::f32, {1, 1, 1, 3}), {.min = 0, .max = 3, .bits = 2}});
  p.add_value({"y", ValueKind::tensor, ValueType::of(DType::f32, {1, 1, 1, 3}), {}});
  p.inputs = {0};
  p.outputs = {2};
  Step bucketize;
  bucketize.kind = StepKind::bucketize;
  bucketize.inputs = {0};
  bucketize.outputs = {1};
  bucketize.planes.thresholds = {0.25F, 0.75F, 1.25F};
  Step layer;
  layer.kind = StepKind::plane_convolution;
  layer.inputs = {1};
  layer.outputs = {2};
  layer.out_channels = layer.in_channels = 1;
  layer.window = {.kernel_h = 1, .kernel_w = 3, .pad_left = 1, .pad_right = 1};
  layer.weights.bits = 2;
  layer.weights.count = 3;
  layer.weights.owned = std::make_shared<const std::vector<std::uint8_t>>(std::vector<std::uint8_t>{0b101, 0b110});
  layer.weights.data = layer.weights.owned->data();
  layer.planes.weight_signs = true;
  layer.planes.weight_scale = {0.5F, 1};
  layer.planes.code_scale = {0.5F, 1.25F};
  layer.planes.patterns = {0, 1, 2, 3};
  layer.epilogue.kind = Epilogue::Kind::affine;
  p.steps = {bucketize, layer};
  const Tensor x = Tensor::of<float>({1, 1, 1, 3}, Floats{0.3F, 2, 0.75F});
  std::vector<Tensor> y;
  std::map<std::int32_t, Tensor> seen;
  ASSERT_TRUE(interpret_program(p, {&x, 1}, y, [&](std::int32_t v, const Tensor& t) { seen[v] = t; }).ok());
  EXPECT_EQ(seen.at(1).to_float(), (Floats{1, 3, 2}));
  EXPECT_EQ(y[0].to_float(), (Floats{2.875F, 2.5F, -0.25F}));
}

void expect_refused(const std::function<void(Network&)>& spoil, const std::string& why) {
  Network network({.name = "refused", .weight_offset = true});
  network.layer_step().epilogue.a = network.layer_step().epilogue.b = network.floats(11, 0, 1);
  network.layer_step().planes.thresholds = {0, 1, 2};
  network.to_codes({.sign = false, .min = 0, .max = 3, .bits = 2});
  ASSERT_TRUE(check_program(network.program).ok()) << check_program(network.program).message();
  spoil(network);
  EXPECT_THAT(check_program(network.program).message(), HasSubstr(why));
  std::shared_ptr<const Model> model;
  EXPECT_FALSE(Model::from_bytes(serialize_program(network.program), model).ok()) << why;
}

TEST(RealPlanes, ImpossibleStepsAreRefused) {
  const float nan = std::nanf("");
  expect_refused([](Network& n) { n.layer_step().planes.weight_scale.pop_back(); }, "scales do not match");
  expect_refused([](Network& n) { n.layer_step().planes.weight_offset.pop_back(); }, "scales do not match");
  expect_refused([&](Network& n) { n.layer_step().planes.weight_scale[3] = nan; }, "not finite");
  expect_refused([&](Network& n) { n.layer_step().planes.code_offset = nan; }, "not finite");
  expect_refused([](Network& n) { n.layer_step().planes.code_scale.clear(); }, "planes do not match");
  expect_refused([](Network& n) { n.layer_step().planes.patterns.pop_back(); }, "planes do not match");
  expect_refused([](Network& n) { n.layer_step().planes.patterns[1] = 4; }, "more bits than planes");
  expect_refused([](Network& n) { n.layer_step().planes.thresholds = {0, 1, 0.5F}; }, "ascending");
  expect_refused([](Network& n) { n.layer_step().planes.thresholds = {0, 1, 2, 3}; }, "beyond the value's range");
  expect_refused([](Network& n) { n.layer_step().epilogue.b.pop_back(); }, "do not match the channels");
  expect_refused([](Network& n) { n.layer_step().epilogue.kind = Epilogue::Kind::none; }, "no such epilogue");
  expect_refused([](Network& n) { n.layer_step().pad_value = 1; }, "border");
  expect_refused([](Network& n) { n.layer_step().groups = 2; }, "impossible channels");
  expect_refused([](Network& n) { n.layer_step().inputs = {0}; }, "needs codes");
  expect_refused([](Network& n) { n.layer_step().inputs = {1, 1}; }, "impossible residual");
  expect_refused([](Network& n) { n.layer_step().inputs = {1, 0, 0}; }, "wrong number");
  expect_refused([&](Network& n) { n.program.steps[0].planes.thresholds.push_back(nan); }, "beyond the value's range");
  expect_refused([&](Network& n) { n.program.steps[0].planes.thresholds[0] = nan; }, "finite");
  expect_refused([](Network& n) { n.program.steps[2].planes.levels.pop_back(); }, "levels do not match");
}

TEST(RealPlanes, AResidualOfAnotherShapeIsAnErrorOfTheRun) {
  Network network({.name = "residual_shape", .out = 6});  // six channels, x has five
  network.layer_step().inputs = {1, 0};
  network.to_tensor();
  std::vector<Tensor> outputs;
  EXPECT_FALSE(interpret_program(network.program, {&network.x, 1}, outputs).ok());
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::from_bytes(serialize_program(network.program), model).ok());
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(model, {.threads = 1}, session).ok());
  EXPECT_FALSE(session->run({&network.x, 1}, outputs).ok());
}

}  // namespace
}  // namespace nnq::test
