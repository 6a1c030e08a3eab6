#include "methods/transfer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "methods/support.h"
#include "nnq/error.h"
#include "train/quantizer.h"

namespace nnq::methods {
namespace {

constexpr std::int64_t kCount = 1001;

/// Quantiles of the standard normal distribution, ascending, as one row.
at::Tensor normal_quantiles() {
  const at::Tensor p = (at::arange(kCount).to(at::kDouble) + 0.5) / kCount;
  return at::erfinv(p * 2 - 1).mul_(std::sqrt(2.0)).to(at::kFloat).view({1, kCount});
}

train::QuantizerContext context_of(const TransferRequest& request) {
  train::QuantizerContext context;
  NNQ_CHECK(request.role == "weight" || request.role == "activation",
            "a curve is drawn of weights or of activations, not of '" + request.role + "'", "--role");
  context.role = request.role == "weight" ? train::Role::weight : train::Role::activation;
  context.bits = request.bits;
  context.node.name = "curve";
  for (const auto& [name, value] : request.parameters) context.node.attributes[name] = value;
  context.weight_shape = {1, kCount};
  if (context.role == train::Role::activation) context.node.attributes["signed"] = std::int64_t{0};
  return context;
}

/// Where activations are drawn: both sides of 0 for signs, else to beyond the last level.
at::Tensor grid_of(train::Quantizer& quantizer, const at::Tensor& seen) {
  if (quantizer.activation_code().sign) return at::linspace(-2.5, 2.5, kCount).view({1, kCount});
  const at::NoGradGuard no_gradient;
  const double last = quantizer.forward(at::full({1, 1}, 1e6), false).item<double>();
  const double high = std::max(static_cast<double>(seen.max().item<float>()), 1.25 * last);
  return at::linspace(-0.2 * high, high, kCount).view({1, kCount});
}

std::vector<double> to_doubles(const at::Tensor& t) {
  const at::Tensor values = t.detach().to(at::kDouble).contiguous();
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

std::vector<double> distinct(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  if (values.size() > 256) values.clear();
  return values;
}

}  // namespace

TransferCurve transfer_curve(const TransferRequest& request) {
  const std::unique_ptr<train::Quantizer> quantizer = train::find_method(request.method).make(context_of(request));
  const bool weight = request.role == "weight";
  const at::Tensor normal = normal_quantiles(), seen = weight ? normal : at::relu(normal);
  quantizer->calibrate(seen);
  quantizer->finish_calibration();
  const at::Tensor x = weight ? normal : grid_of(*quantizer, seen);
  TransferCurve curve;
  curve.x = to_doubles(x);
  {
    const at::NoGradGuard no_gradient;
    curve.value = to_doubles(quantizer->forward(x, false));
  }
  const at::Tensor input = x.clone().set_requires_grad(true);
  quantizer->forward(input, true).sum().backward();
  curve.gradient = input.grad().defined() ? to_doubles(input.grad()) : std::vector<double>(kCount, 0);
  curve.levels = distinct(curve.value);
  return curve;
}

}  // namespace nnq::methods
