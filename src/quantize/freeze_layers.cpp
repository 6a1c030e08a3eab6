// Freezing what computes: quantizers, layers, normalisation, and arithmetic with constants.
#include <algorithm>
#include <cmath>

#include "nnq/error.h"
#include "quantize/freezer.h"
#include "quantize/layers.h"

namespace nnq::quantize {
namespace {

std::vector<double> doubles(const Tensor& tensor) {
  const auto values = tensor.values<float>();
  return {values.begin(), values.end()};
}

/// AP2(x) = sign(x) 2^round(log2 |x|), AP2(0) = 0 (BNN, arXiv:1602.02830, sec. 1.3).
double nearest_power_of_two(float x) {
  if (x == 0 || !std::isfinite(x)) return static_cast<double>(x);
  int exponent = 0;
  const float mantissa = std::frexp(std::abs(x), &exponent);
  return std::copysign(std::ldexp(1.0, static_cast<double>(mantissa) < std::sqrt(0.5) ? exponent - 1 : exponent),
                       static_cast<double>(x));
}

std::string describe(const Node& node) { return "node '" + node.name + "' (" + node.op + ")"; }

/// A constant that broadcasts as one value or along one axis of a tensor of `rank`.
bool broadcast_axis(const Tensor& constant, std::int64_t rank, std::int64_t& axis) {
  axis = 1;
  if (constant.count() == 1 && (constant.rank() == 0 || (rank >= 0 && constant.rank() <= rank))) return true;
  if (rank < 0 || constant.rank() > rank) return false;
  for (std::int64_t d = 0; d < constant.rank(); ++d) {
    const std::int64_t size = constant.shape()[static_cast<std::size_t>(d)];
    if (size == 1) continue;
    if (size != constant.count()) return false;
    axis = rank - constant.rank() + d;
  }
  return true;
}

}  // namespace

void Freezer::quantizer(const Node& node) {
  const std::string role = node.get_string("role", "");
  if (role == "weight") return weight_quantizer(node);
  if (role == "activation") return activation_quantizer(node);
  forms_[node.outputs[0]] = form(node.inputs[0]);  // gradients exist only in training
}

void Freezer::weight_quantizer(const Node& node) {
  const Tensor* weight = constant(node.inputs[0]);
  NNQ_CHECK(weight != nullptr, "a weight quantizer reads a float32 initializer", describe(node));
  Encoding encoding = callbacks_.weight(node, *weight);
  NNQ_CHECK(encoding.shape == weight->shape(),
            "the encoding has shape " + to_string(encoding.shape) + ", the weight " + to_string(weight->shape()),
            describe(node));
  weights_[node.outputs[0]] = add_weight(new_, std::move(encoding), node.inputs[0] + ".packed");
  for (const auto& [name, value] : new_.initializers) names_.insert(name);
  names_.insert(weights_[node.outputs[0]].value);
  auto made = std::make_shared<Form>();
  made->value = weights_[node.outputs[0]].value;
  forms_[node.outputs[0]] = std::move(made);  // read through weights_ only
}

void Freezer::layer(const Node& node) {
  if (!quantized_layer(node)) copy(node);
}

bool Freezer::quantized_layer(const Node& node) {
  const auto found = node.inputs.size() < 2 ? weights_.end() : weights_.find(node.inputs[1]);
  if (found == weights_.end() || weights_.contains(node.inputs[0])) return false;
  const FrozenWeight& weight = found->second;
  const bool gemm = node.is("Gemm");
  const bool rows_are_outputs = node.is("Conv") || (gemm && node.get_int("transB", 0) != 0);
  const bool has_bias = node.inputs.size() > 2 && !node.inputs[2].empty() && node.get_float("beta", 1) != 0;
  const Tensor* bias = has_bias ? constant(node.inputs[2]) : nullptr;
  const std::vector<float> unit{1};
  const std::vector<float>& steps = weight.integers.ok ? weight.integers.step : unit;
  if ((has_bias && bias == nullptr) || (!rows_are_outputs && steps.size() > 1)) return false;
  std::int64_t axis = 1;
  if (node.is("MatMul") && rank_of(node.outputs[0]) > 0) axis = rank_of(node.outputs[0]) - 1;
  if (bias != nullptr && gemm) {
    std::int64_t along = 1;
    if (!broadcast_axis(*bias, 2, along) || along != 1) return false;
  }
  FormPtr x = form(node.inputs[0]);
  if (!x->one_step()) {  // per channel, or shifted: padding and sums need the real values
    auto made = std::make_shared<Form>();
    made->value = made->real = real(node.inputs[0]);
    x = std::move(made);
  }
  auto made = std::make_shared<Form>();
  made->axis = axis;
  made->integer = x->integer && weight.integers.ok;
  if (made->integer) {
    const SumBounds bounds = bounds_of_sums(node, weight, x->lo, x->hi);
    made->lo = bounds.lo;
    made->hi = bounds.hi;
    NNQ_CHECK(made->magnitude() < kExactIntegers,
              "sums may reach " + std::to_string(static_cast<std::int64_t>(made->magnitude())) +
                  ", beyond 2^24, up to which they are exact",
              describe(node),
              "give it fewer bits by a rule of its own behind the others: layers = \"" + node.name +
                  "\", weights = { method = \"uniform\", bits = 7 }; or leave its weights \"float\"");
  }
  const double scale = x->a[0] * (gemm ? static_cast<double>(node.get_float("alpha", 1)) : 1);
  made->a.clear();
  for (const float step : steps) made->a.push_back(scale * static_cast<double>(step));
  if (bias != nullptr) {
    made->b = doubles(*bias);
    for (double& b : made->b) b *= gemm ? static_cast<double>(node.get_float("beta", 1)) : 1;
  }
  Node sums = node;
  sums.inputs = {x->value, weight.value};
  sums.attributes.erase("alpha");
  sums.attributes.erase("beta");
  const bool plain = made->identity();
  made->value = add(std::move(sums), plain ? node.outputs[0] : unique(node.outputs[0] + ".sums"));
  set(node, std::move(made));
  return true;
}

void Freezer::normalization(const Node& node) {
  const bool extra_outputs = std::any_of(node.outputs.begin() + 1, node.outputs.end(),
                                         [](const std::string& output) { return !output.empty(); });
  const Tensor* parameters[4] = {};
  for (std::size_t i = 0; i < 4; ++i)
    parameters[i] = node.inputs.size() > i + 1 ? constant(node.inputs[i + 1]) : nullptr;
  if (extra_outputs || std::count(std::begin(parameters), std::end(parameters), nullptr) > 0) return copy(node);
  const std::vector<double> gamma = doubles(*parameters[0]), beta = doubles(*parameters[1]),
                            mean = doubles(*parameters[2]), spread = doubles(*parameters[3]);
  const bool shift = node.domain == kNnqDomain;
  const auto epsilon = static_cast<double>(node.get_float("epsilon", 1e-5F));
  std::vector<double> p, q;
  for (std::size_t c = 0; c < gamma.size(); ++c) {
    p.push_back(shift ? nearest_power_of_two(static_cast<float>(gamma[c])) *
                            nearest_power_of_two(static_cast<float>(spread[c]))
                      : gamma[c] / std::sqrt(spread[c] + epsilon));
    q.push_back(beta[c] - p[c] * mean[c]);
  }
  FormPtr made = compose(*form(node.inputs[0]), p, q, 1);
  if (made == nullptr) {
    Form plain;
    plain.value = real(node.inputs[0]);
    made = compose(plain, p, q, 1);
  }
  set(node, std::move(made));
}

bool Freezer::fold_constant(const Node& node, std::size_t which) {
  const Tensor* tensor = constant(node.inputs[which]);
  const FormPtr x = form(node.inputs[1 - which]);
  std::int64_t axis = 1;
  if (tensor == nullptr || x->identity() || !broadcast_axis(*tensor, rank_of(node.inputs[1 - which]), axis))
    return false;
  if (node.op == "Div" && which == 0) return false;
  std::vector<double> p{1}, q{0};
  const std::vector<double> values = doubles(*tensor);
  if (node.op == "Mul" || node.op == "Div") {
    p = values;
    if (node.op == "Div")
      for (double& v : p) v = 1 / v;
  } else {
    q = values;
    if (node.op == "Sub" && which == 1)
      for (double& v : q) v = -v;
    if (node.op == "Sub" && which == 0) p = {-1};
  }
  const FormPtr made = compose(*x, p, q, axis);
  if (made == nullptr) return false;
  set(node, made);
  return true;
}

bool Freezer::add_codes(const Node& node) {
  const FormPtr x = form(node.inputs[0]), y = form(node.inputs[1]);
  if (!node.is("Add") || !x->code || !y->code || !x->one_step() || !y->one_step() || x->a[0] != y->a[0]) return false;
  if (std::max(x->magnitude(), y->magnitude()) * 2 >= kExactIntegers) return false;
  auto made = std::make_shared<Form>(*x);
  made->real.clear();
  made->lo = x->lo + y->lo;
  made->hi = x->hi + y->hi;
  Node sum = node;
  sum.inputs = {x->value, y->value};
  made->value = add(std::move(sum), unique(node.outputs[0] + ".codes"));
  set(node, std::move(made));
  return true;
}

void Freezer::arithmetic(const Node& node) {
  if (node.inputs.size() != 2 || (!add_codes(node) && !fold_constant(node, 1) && !fold_constant(node, 0))) copy(node);
}

}  // namespace nnq::quantize
