#include "methods/attack_support.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "core/random.h"
#include "core/text.h"
#include "nnq/error.h"

namespace nnq::methods {

at::Tensor margin(const at::Tensor& scores, const at::Tensor& labels) {
  const at::Tensor column = labels.unsqueeze(1);
  const at::Tensor others = scores.scatter(1, column, -std::numeric_limits<float>::infinity());
  return std::get<0>(others.max(1)) - scores.gather(1, column).squeeze(1);
}

at::Tensor attack_loss(const AttackLoss& loss, const at::Tensor& scores, const at::Tensor& labels) {
  if (loss.kind == "margin") return margin(scores, labels);
  return at::cross_entropy_loss(scores * loss.logit_scale, labels, {}, at::Reduction::None);
}

at::Tensor gradient_of(train::AttackTarget& target, const at::Tensor& pixels,
                       const std::function<at::Tensor(const at::Tensor& scores)>& f) {
  const at::AutoGradMode recording(true);
  const at::Tensor x = pixels.detach().clone().set_requires_grad(true);
  const at::Tensor total = f(target.scores(x)).sum();
  if (!total.requires_grad()) return at::zeros_like(pixels);
  const auto gradients = torch::autograd::grad({total}, {x}, {}, c10::nullopt, false, /*allow_unused=*/true);
  return gradients[0].defined() ? gradients[0] : at::zeros_like(pixels);
}

at::Tensor pixel_gradient(train::AttackTarget& target, const at::Tensor& pixels, const at::Tensor& labels,
                          const AttackLoss& loss) {
  at::Tensor sum;
  for (std::int64_t draw = 0; draw < target.draws(); ++draw) {
    const at::Tensor gradient =
        gradient_of(target, pixels, [&](const at::Tensor& scores) { return attack_loss(loss, scores, labels); });
    sum = sum.defined() ? sum + gradient : gradient;
  }
  return target.draws() == 1 ? sum : sum / static_cast<double>(target.draws());
}

Ball::Ball(const at::Tensor& x, double epsilon) {
  // x + epsilon is rounded and may lie a unit in the last place outside; then the neighbour towards x is the last
  // inside.
  const at::Tensor exact = x.to(at::kDouble);
  const auto inside = [&](const at::Tensor& rounded) {
    const at::Tensor outside = (rounded.to(at::kDouble) - exact).abs().gt(epsilon);
    return at::where(outside, at::nextafter(rounded, x), rounded);
  };
  low = inside((exact - epsilon).to(at::kFloat)).clamp_min(0);
  high = inside((exact + epsilon).to(at::kFloat)).clamp_max(1);
}

at::Tensor climb(train::AttackTarget& target, const train::AttackBatch& batch, const AttackLoss& loss, const Ball& ball,
                 at::Tensor start, std::int64_t steps, double size) {
  for (std::int64_t step = 0; step < steps; ++step)
    start = ball.project(start + size * pixel_gradient(target, start, batch.labels, loss).sign());
  return start;
}

at::Tensor image_noise(const at::Tensor& pixels, const std::vector<std::int64_t>& numbers, std::uint64_t seed,
                       std::string_view stream) {
  at::Tensor noise = at::empty(pixels.sizes(), at::kFloat);
  float* out = noise.data_ptr<float>();
  const std::int64_t volume = noise.numel() / std::max<std::int64_t>(pixels.size(0), 1);
  at::parallel_for(0, pixels.size(0), 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const Random random(mix64(seed),
                          hash64(stream, static_cast<std::uint64_t>(numbers[static_cast<std::size_t>(n)])));
      for (std::int64_t i = 0; i < volume; ++i)
        out[n * volume + i] = 2 * random.uniform_at(static_cast<std::uint64_t>(i)) - 1;
    }
  });
  return noise;
}

AttackParameters::AttackParameters(const train::AttackContext& context, const MethodInfo& info)
    : context_(context), info_(info) {
  std::vector<std::string> known;
  for (const MethodParameter& parameter : info.parameters) known.push_back(parameter.name);
  for (const auto& [name, value] : context.parameters)
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw Error("has no parameter '" + name + "'", "attack '" + info.id + "'", suggestion(name, known));
}

std::string AttackParameters::text(const std::string& name) const {
  if (const auto it = context_.parameters.find(name); it != context_.parameters.end()) return it->second;
  for (const MethodParameter& parameter : info_.parameters)
    if (parameter.name == name) return parameter.default_value;
  throw Error("parameter '" + name + "' is not in its table", "attack '" + info_.id + "'", {}, true);
}

double AttackParameters::number(const std::string& name, double low, double high) const {
  const std::optional<double> value = parse_fraction(text(name));
  if (!value || !(*value >= low && *value <= high))
    throw Error("parameter '" + name + "' is " + text(name), "attack '" + info_.id + "'",
                fmt::format("it is a number from {} to {}; fractions like 2/255 are allowed", low, high));
  return *value;
}

std::int64_t AttackParameters::count(const std::string& name, std::int64_t low, std::int64_t high) const {
  const std::optional<double> value = parse_fraction(text(name));
  if (!value || *value != std::floor(*value) || *value < static_cast<double>(low) || *value > static_cast<double>(high))
    throw Error("parameter '" + name + "' is " + text(name), "attack '" + info_.id + "'",
                fmt::format("it is a whole number from {} to {}", low, high));
  return static_cast<std::int64_t>(*value);
}

std::string AttackParameters::choice(const std::string& name, std::initializer_list<std::string_view> allowed) const {
  const std::string value = text(name);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  throw Error("parameter '" + name + "' is '" + value + "'", "attack '" + info_.id + "'",
              suggestion(value, {allowed.begin(), allowed.end()}));
}

AttackLoss AttackParameters::loss() const {
  return {choice("loss", {"cross_entropy", "margin"}), number("logit_scale", 1e-6, 1e6)};
}

std::vector<MethodParameter> loss_parameters() {
  return {
      {"loss", "cross_entropy", "", "cross_entropy, margin", "what is climbed; margin is blind to softmax masking"},
      {"logit_scale", "1", "", "1e-6 to 1e6", "factor T on the scores before softmax; below 1 unmasks (0.25, 0.05)"}};
}

void check_epsilon(double epsilon) {
  if (!(epsilon > 0 && epsilon <= 1))
    throw Error(fmt::format("an attack budget of {} is not above 0 and at most 1", epsilon), "epsilon",
                "pixels are 0..1: e.g. 8/255 or 0.3");
}

}  // namespace nnq::methods
