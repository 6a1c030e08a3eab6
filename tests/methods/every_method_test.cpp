// What every registered method keeps, whatever it is: walks all_methods() x roles x bits x shapes. Adding a method adds
// nothing here.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "nnq/error.h"
#include "train/quantizer.h"

namespace nnq::train {
namespace {

struct Case {
  std::string method;
  Role role;
  int bits;
  Shape shape;
};

QuantizerContext context_of(const Case& c) {
  QuantizerContext context;
  context.role = c.role;
  context.bits = c.bits;
  context.node.name = "quantizer_under_test";
  context.node.op = "Quantizer";
  context.node.attributes["method"] = c.method;
  context.weight_shape = c.shape;
  context.seed = 3;
  return context;
}

/// The quantizer, or nullptr when the method does not serve this role with these bits.
std::unique_ptr<Quantizer> make(const Case& c) {
  try {
    return find_method(c.method).make(context_of(c));
  } catch (const Error&) {
    return nullptr;
  }
}

std::vector<Case> cases(Role role) {
  std::vector<Case> all;
  for (const Method& method : all_methods())
    for (int bits = 1; bits <= 8; ++bits)
      for (const Shape& shape : {Shape{1, 1}, Shape{3, 65}, Shape{8, 5, 3, 3}}) {
        const Case c{method.info.id, role, bits, shape};
        if (make(c) != nullptr) all.push_back(c);
      }
  return all;
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  std::string name = info.param.method + "_" + std::to_string(info.param.bits) + "bits";
  for (const std::int64_t d : info.param.shape) name += "_" + std::to_string(d);
  return name;
}

at::Tensor values(const Shape& shape, std::int64_t seed) {
  at::manual_seed(static_cast<std::uint64_t>(seed));
  return at::randn(shape) * 0.7;
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.detach().contiguous(), y = b.detach().contiguous();
  return x.sizes() == y.sizes() && std::memcmp(x.data_ptr(), y.data_ptr(), x.nbytes()) == 0;
}

at::Tensor decoded(const Encoding& encoding) {
  const Tensor t = encoding.decode();
  return at::from_blob(const_cast<float*>(t.as<float>()), t.shape(), at::kFloat).clone();
}

/// Forward and backward of one training step: output, then gradient of x, then gradients of trained state.
std::vector<at::Tensor> train_step(Quantizer& quantizer, const at::Tensor& x) {
  const at::Tensor leaf = x.detach().clone().set_requires_grad(true);
  for (const StateEntry& entry : quantizer.state())
    if (entry.trainable && entry.tensor->defined())
      *entry.tensor = entry.tensor->detach().clone().set_requires_grad(true);
  quantizer.set_step(5);
  const at::Tensor y = quantizer.forward(leaf, true);
  (y * at::linspace(-1, 1, y.numel()).view(y.sizes())).sum().backward();
  std::vector<at::Tensor> results{y.detach(), leaf.grad()};
  for (const StateEntry& entry : quantizer.state())
    if (entry.trainable && entry.tensor->defined()) results.push_back(entry.tensor->grad());
  return results;
}

class Weights : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    w_ = values(GetParam().shape, 1);
    quantizer_ = make(GetParam());
    quantizer_->calibrate(w_);
    quantizer_->finish_calibration();
  }
  at::Tensor w_;
  std::unique_ptr<Quantizer> quantizer_;
};

TEST_P(Weights, DecodedEncodingIsTheEvaluationForward) {
  const at::Tensor y = quantizer_->forward(w_, false);
  const Encoding encoding = quantizer_->encode(w_);
  ASSERT_TRUE(encoding.check().ok()) << encoding.check().message();
  EXPECT_EQ(encoding.shape, GetParam().shape);
  EXPECT_EQ(encoding.bits, GetParam().bits);
  EXPECT_TRUE(same_bits(decoded(encoding), y)) << (decoded(encoding) - y).abs().max().item<float>();
  EXPECT_TRUE(same_bits(quantizer_->forward(w_, false), y)) << "evaluation is deterministic";
}

TEST_P(Weights, AtMostTwoToTheBitsLevelsAGroup) {
  const at::Tensor y = quantizer_->forward(w_, false).detach().contiguous();
  const Encoding encoding = quantizer_->encode(w_);
  for (std::int64_t g = 0; g < encoding.groups; ++g) {
    const float* row = y.data_ptr<float>() + g * encoding.group_size();
    const float* end = std::min<const float*>(row + encoding.group_size(), y.data_ptr<float>() + y.numel());
    EXPECT_LE(std::set<float>(row, end).size(), std::size_t{1} << GetParam().bits);
  }
}

TEST_P(Weights, GradientsAreFiniteAndShapesKept) {
  for (const at::Tensor& t : train_step(*quantizer_, w_)) {
    ASSERT_TRUE(t.defined());
    EXPECT_TRUE(at::isfinite(t).all().item<bool>());
  }
  EXPECT_EQ(train_step(*quantizer_, w_)[1].sizes(), w_.sizes());
  if (w_.numel() > 1) {  // DoReFa's only weight is its own maximum: the gradient is zero
    const std::vector<at::Tensor> results = train_step(*quantizer_, w_);
    double sum = 0;
    for (std::size_t i = 1; i < results.size(); ++i) sum += results[i].abs().sum().item<double>();
    EXPECT_GT(sum, 0) << "something is learned, weights or state";
  }
}

TEST_P(Weights, StateSurvivesSaveAndLoad) {
  const std::unique_ptr<Quantizer> loaded = make(GetParam());
  const std::vector<StateEntry> from = quantizer_->state(), to = loaded->state();
  ASSERT_EQ(from.size(), to.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    EXPECT_EQ(from[i].name, to[i].name);
    *to[i].tensor = from[i].tensor->detach().clone();
  }
  const at::Tensor other = values(GetParam().shape, 2);
  EXPECT_TRUE(same_bits(loaded->forward(other, false), quantizer_->forward(other, false)));
}

TEST_P(Weights, DoNotDependOnThreadsOrRepetition) {
  const int threads = at::get_num_threads();
  const at::Tensor large = values({16, 128, 3, 3}, 4);
  std::vector<std::vector<at::Tensor>> results;
  for (const int n : {1, 2, 2}) {
    at::set_num_threads(n);
    const std::unique_ptr<Quantizer> fresh = make(GetParam());
    fresh->calibrate(large);
    fresh->finish_calibration();
    results.push_back(train_step(*fresh, large));
    results.back().push_back(decoded(fresh->encode(large)));
  }
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_TRUE(same_bits(results[0][i], results[1][i])) << "tensor " << i;
    EXPECT_TRUE(same_bits(results[1][i], results[2][i])) << "tensor " << i;
  }
}

TEST_P(Weights, NonFiniteValuesAreRefused) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    at::Tensor w = w_.clone();
    w.view(-1)[0] = bad;
    EXPECT_THROW(quantizer_->encode(w), Error);
  }
}

TEST_P(Weights, ConstantAndZeroAndEmptyTensorsAreDefined) {
  for (const float value : {0.0f, 1.0f, -0.25f, 1e-38f, 1e30f}) {
    const at::Tensor w = at::full(GetParam().shape, value);
    const std::unique_ptr<Quantizer> fresh = make(GetParam());
    fresh->calibrate(w);
    const at::Tensor y = fresh->forward(w, false);
    EXPECT_TRUE(at::isfinite(y).all().item<bool>()) << value;
    EXPECT_TRUE(same_bits(y, decoded(fresh->encode(w)))) << value;
    EXPECT_EQ(at::abs(y - y.view(-1)[0]).max().item<float>(), 0) << "equal weights stay equal";
    for (const at::Tensor& t : train_step(*fresh, w)) EXPECT_TRUE(at::isfinite(t).all().item<bool>()) << value;
  }
  const at::Tensor none = at::empty({0, 5});
  const std::unique_ptr<Quantizer> fresh = make(GetParam());
  fresh->calibrate(none);
  EXPECT_EQ(fresh->forward(none, false).sizes(), none.sizes());
  EXPECT_TRUE(fresh->encode(none).codes.empty());
}

TEST_P(Weights, AfterStepKeepsLatentsFinite) {
  at::Tensor latent = w_.clone() * 10;
  quantizer_->after_step(latent);
  EXPECT_TRUE(at::isfinite(latent).all().item<bool>());
  EXPECT_GE(quantizer_->learning_rate_scale(latent), 0);
}

INSTANTIATE_TEST_SUITE_P(All, Weights, ::testing::ValuesIn(cases(Role::weight)), name_of);

class Activations : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    x_ = values(GetParam().shape, 6);
    quantizer_ = make(GetParam());
    quantizer_->calibrate(x_);
    quantizer_->calibrate(x_ * 0.5);
    quantizer_->finish_calibration();
  }
  at::Tensor x_;
  std::unique_ptr<Quantizer> quantizer_;
};

/// What deploys: step * clamp(rint((x - offset) / scale), min, max), step * sign(x), or the level of the last threshold
/// that was passed.
at::Tensor deployed(const ActivationCode& code, const at::Tensor& x) {
  if (!code.thresholds.empty()) {
    at::Tensor v = at::zeros(x.sizes(), at::kLong);
    for (const float threshold : code.thresholds) v += x.ge(threshold).to(at::kLong);
    return at::tensor(code.levels).index_select(0, v.flatten()).view(x.sizes());
  }
  const at::Tensor v = code.sign ? at::where(x >= 0, at::ones({}), -at::ones({}))
                                 : at::clamp(at::round((x - code.offset) / code.scale), code.min, code.max);
  return v * code.step;
}

TEST_P(Activations, ForwardIsTheValueOfTheCode) {
  const at::Tensor y = quantizer_->forward(x_, false);
  const ActivationCode code = quantizer_->activation_code();
  EXPECT_TRUE(at::equal(y, deployed(code, x_)));
  EXPECT_LE(code.max - code.min, (1 << GetParam().bits) - 1 + (code.sign ? 1 : 0));
  EXPECT_TRUE(code.min <= 0 && code.max >= 0);
  EXPECT_EQ(code.bits, GetParam().bits);
  if (!code.thresholds.empty()) {
    EXPECT_EQ(code.levels.size(), std::size_t{1} << code.bits);
    EXPECT_EQ(code.thresholds.size(), code.levels.size() - 1);
    EXPECT_TRUE(std::is_sorted(code.thresholds.begin(), code.thresholds.end()));
    EXPECT_TRUE(std::is_sorted(code.levels.begin(), code.levels.end()));
  }
  EXPECT_TRUE(at::equal(quantizer_->forward(x_, false), y));
}

TEST_P(Activations, QuantizingTwiceChangesNothing) {
  const at::Tensor once = quantizer_->forward(x_, false);
  const ActivationCode code = quantizer_->activation_code();
  const bool other_units = !code.sign && code.thresholds.empty() && (code.offset != 0 || code.step != code.scale);
  if (other_units) GTEST_SKIP() << "this method's values are not in the units of its input";
  EXPECT_TRUE(at::equal(quantizer_->forward(once, false), once));
}

TEST_P(Activations, GradientsAreFiniteAndShapesKept) {
  for (const at::Tensor& t : train_step(*quantizer_, x_)) EXPECT_TRUE(at::isfinite(t).all().item<bool>());
  EXPECT_EQ(train_step(*quantizer_, x_)[1].sizes(), x_.sizes());
}

TEST_P(Activations, StateSurvivesSaveAndLoad) {
  const std::unique_ptr<Quantizer> loaded = make(GetParam());
  const std::vector<StateEntry> from = quantizer_->state(), to = loaded->state();
  ASSERT_EQ(from.size(), to.size());
  for (std::size_t i = 0; i < from.size(); ++i) *to[i].tensor = from[i].tensor->detach().clone();
  EXPECT_TRUE(same_bits(loaded->forward(x_, false), quantizer_->forward(x_, false)));
}

TEST_P(Activations, DoNotDependOnThreadsOrRepetition) {
  const int threads = at::get_num_threads();
  const at::Tensor large = values({16, 16, 16, 16}, 4);
  std::vector<std::vector<at::Tensor>> results;
  for (const int n : {1, 2, 2}) {
    at::set_num_threads(n);
    const std::unique_ptr<Quantizer> fresh = make(GetParam());
    fresh->calibrate(large);
    fresh->finish_calibration();
    results.push_back(train_step(*fresh, large));
  }
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_TRUE(same_bits(results[0][i], results[1][i])) << "tensor " << i;
    EXPECT_TRUE(same_bits(results[1][i], results[2][i])) << "tensor " << i;
  }
}

TEST_P(Activations, AllZeroCalibrationIsDefined) {
  const std::unique_ptr<Quantizer> fresh = make(GetParam());
  fresh->calibrate(at::zeros({4, 4}));
  fresh->finish_calibration();
  EXPECT_TRUE(at::isfinite(fresh->forward(x_, false)).all().item<bool>());
  const ActivationCode code = fresh->activation_code();
  EXPECT_TRUE(std::isfinite(code.step) && code.step > 0);
}

INSTANTIATE_TEST_SUITE_P(All, Activations, ::testing::ValuesIn(cases(Role::activation)), name_of);

class Gradients : public ::testing::TestWithParam<Case> {};

TEST_P(Gradients, ForwardIsTheIdentityAndBackwardQuantizesASample) {
  const std::unique_ptr<Quantizer> quantizer = make(GetParam());
  const at::Tensor x = values(GetParam().shape, 8);
  EXPECT_TRUE(same_bits(quantizer->forward(x, false), x));
  const std::vector<at::Tensor> step = train_step(*quantizer, x);
  EXPECT_TRUE(same_bits(step[0], x));
  const at::Tensor g = step[1].contiguous();
  EXPECT_TRUE(at::isfinite(g).all().item<bool>());
  const std::int64_t size = g.numel() / g.size(0);
  for (std::int64_t n = 0; n < g.size(0); ++n) {
    const float* row = g.data_ptr<float>() + n * size;
    EXPECT_LE(std::set<float>(row, row + size).size(), std::size_t{1} << GetParam().bits);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Gradients, ::testing::ValuesIn(cases(Role::gradient)), name_of);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Gradients);

class Registered : public ::testing::TestWithParam<std::string> {};

TEST_P(Registered, DescribesItself) {
  const MethodInfo& info = find_method(GetParam()).info;
  EXPECT_FALSE(info.title.empty());
  EXPECT_FALSE(info.paper.empty());
  EXPECT_FALSE(info.encoding.empty());
  EXPECT_FALSE(info.roles.empty());
  EXPECT_EQ(info.kind, "quantizer");
  for (const MethodParameter& parameter : info.parameters) {
    EXPECT_FALSE(parameter.default_value.empty()) << parameter.name;
    EXPECT_FALSE(parameter.range.empty()) << parameter.name;
    EXPECT_FALSE(parameter.description.empty()) << parameter.name;
  }
}

TEST_P(Registered, RefusesBitsOutsideItsRangeAndUnknownParameters) {
  for (const Role role : {Role::weight, Role::activation, Role::gradient}) {
    for (const int bits : {-1, 0, 9, 1000})
      EXPECT_THROW(find_method(GetParam()).make(context_of({GetParam(), role, bits, {4, 4}})), Error) << bits;
    for (int bits = 1; bits <= 8; ++bits) {
      QuantizerContext context = context_of({GetParam(), role, bits, {4, 4}});
      context.node.attributes["no_such_parameter"] = std::int64_t{1};
      EXPECT_THROW(find_method(GetParam()).make(context), Error);
    }
  }
}

TEST_P(Registered, RefusesParametersOutsideTheirRange) {
  for (const MethodParameter& parameter : find_method(GetParam()).info.parameters) {
    bool refused = false, served = false;
    for (const Role role : {Role::weight, Role::activation, Role::gradient}) {
      for (int bits = 1; bits <= 8; ++bits) {
        QuantizerContext context = context_of({GetParam(), role, bits, {4, 4}});
        try {
          find_method(GetParam()).make(context);
        } catch (const Error&) {
          continue;
        }
        served = true;
        context.node.attributes[parameter.name] = std::string("no such value");
        try {
          find_method(GetParam()).make(context);
        } catch (const Error&) {
          refused = true;
        }
      }
    }
    EXPECT_TRUE(!served || refused) << parameter.name;
  }
}

std::vector<std::string> ids() {
  std::vector<std::string> names;
  for (const Method& method : all_methods()) names.push_back(method.info.id);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, Registered, ::testing::ValuesIn(ids()), [](const auto& row) { return row.param; });

}  // namespace
}  // namespace nnq::train
