#include "train/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "nnq/error.h"
#include "train/ap2.h"
#include "train/element_loops.h"
#include "train/optimizer_loops.h"

namespace nnq::train {
namespace {

/// Adam's steps have the size of the rate whatever the gradient is, but a quantizer's step size may be 0.01: a few of
/// them would cross zero. So the rate of such state is relative to its values (their root mean square), as in Adafactor
/// (Shazeer, Stern 2018, arXiv:1804.04235, sec. 8).
double relative_rate(const at::Tensor& state) {
  const at::Tensor values = state.detach().to(at::kDouble).contiguous();
  double sum = 0;
  for (std::int64_t i = 0; i < values.numel(); ++i) sum += values.data_ptr<double>()[i] * values.data_ptr<double>()[i];
  return std::max(std::sqrt(sum / static_cast<double>(std::max<std::int64_t>(values.numel(), 1))), 1e-3);
}

void check(const OptimizerOptions& o) {
  static const std::vector<std::string> known{"sgd", "adam", "adamw", "adamax", "shift_adamax"};
  const std::string where = "optimizer '" + o.kind + "'";
  if (std::find(known.begin(), known.end(), o.kind) == known.end())
    throw Error("is not known", where, suggestion(o.kind, known));
  NNQ_CHECK(o.learning_rate >= 0 && std::isfinite(o.learning_rate), "the learning rate must be a number, 0 or more",
            where);
  NNQ_CHECK(o.momentum >= 0 && o.momentum < 1, "the momentum must be in 0 .. 1, 1 excluded", where);
  NNQ_CHECK(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1, "betas must be in 0 .. 1, 1 excluded", where);
  NNQ_CHECK(o.epsilon > 0 && o.weight_decay >= 0 && o.state_learning_rate >= 0,
            "epsilon must be above 0, weight decay and the state's learning rate 0 or more", where);
}

}  // namespace

struct Optimizer::State {
  struct Slot {
    at::Tensor m, v;
  };
  OptimizerOptions options;
  std::int64_t steps = 0;
  std::map<std::string, Slot> slots;
  std::map<std::string, Tensor> saved;  // restored, not yet taken up by its parameter

  bool has_second() const { return options.kind != "sgd"; }
  const char* first_name() const { return has_second() ? "mean/" : "momentum/"; }

  UpdateRule rule(const Parameter& parameter, double learning_rate) const;
  at::Tensor make(const std::string& name, const at::Tensor& like);
  Slot& slot(const Parameter& parameter, const at::Tensor& values);
  void update(const Parameter& parameter, double learning_rate);
};

UpdateRule Optimizer::State::rule(const Parameter& p, double learning_rate) const {
  const OptimizerOptions& o = options;
  double scale = p.learning_rate_scale;
  if (p.quantizer_state) scale *= o.state_learning_rate * (has_second() ? relative_rate(*p.tensor) : 1);
  const double decay = p.decay ? o.weight_decay : 0;
  const double t = static_cast<double>(steps);
  const double bias1 = 1 - std::pow(o.beta1, t), bias2 = 1 - std::pow(o.beta2, t);
  double rate = learning_rate * scale;
  if (o.kind == "shift_adamax") {
    rate = static_cast<double>(ap2(static_cast<float>(learning_rate / bias1))) * scale;
  } else if (o.kind != "sgd") {
    rate /= bias1;
  }
  UpdateRule r;
  r.rate = static_cast<float>(rate);
  r.decay = static_cast<float>(o.kind == "adamw" ? 0 : decay);
  r.shrink = static_cast<float>(o.kind == "adamw" ? 1 - learning_rate * scale * decay : 1);
  // the momentum buffer and this step's direction make the step: b m + a d
  r.momentum = static_cast<float>(o.momentum);
  r.ahead = o.nesterov ? 1.0F : 0.0F;
  r.of_momentum = static_cast<float>(o.nesterov ? o.momentum : 1);
  r.beta1 = static_cast<float>(o.beta1);
  r.one_minus_beta1 = static_cast<float>(1 - o.beta1);
  r.beta2 = static_cast<float>(o.beta2);
  r.one_minus_beta2 = static_cast<float>(1 - o.beta2);
  r.root_factor = static_cast<float>(1 / std::sqrt(bias2));
  r.epsilon = static_cast<float>(o.epsilon);
  return r;
}

at::Tensor Optimizer::State::make(const std::string& name, const at::Tensor& like) {
  const auto it = saved.find(name);
  if (it == saved.end()) return at::zeros_like(like);
  at::Tensor tensor = to_torch(it->second);
  NNQ_CHECK(tensor.sizes() == like.sizes() && tensor.scalar_type() == at::kFloat,
            "has shape " + to_string(it->second.shape()) + ", its parameter " + to_string(like.sizes().vec()),
            "optimizer state '" + name + "'");
  saved.erase(it);
  return at::empty_like(like).copy_(tensor);
}

Optimizer::State::Slot& Optimizer::State::slot(const Parameter& parameter, const at::Tensor& values) {
  const auto [it, fresh] = slots.try_emplace(parameter.name);
  Slot& slot = it->second;
  if (fresh) {
    slot.m = make(first_name() + parameter.name, values);
    if (has_second()) slot.v = make("scale/" + parameter.name, values);
  }
  return slot;
}

void Optimizer::State::update(const Parameter& parameter, double learning_rate) {
  NNQ_CHECK(parameter.tensor->scalar_type() == at::kFloat, "only float32 parameters are trained",
            "parameter '" + parameter.name + "'");
  const at::Tensor values = dense(parameter.tensor->detach());
  at::Tensor gradient = parameter.tensor->grad();
  if (gradient.strides() != values.strides() || gradient.scalar_type() != at::kFloat)
    gradient = at::empty_like(values).copy_(gradient);
  const Slot& own = slot(parameter, values);
  float *w = values.data_ptr<float>(), *m = own.m.data_ptr<float>(),
        *v = has_second() ? own.v.data_ptr<float>() : nullptr;
  const float* g = gradient.data_ptr<float>();
  const UpdateRule r = rule(parameter, learning_rate);
  at::parallel_for(0, values.numel(), kChunk, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t n = end - begin;
    if (options.kind == "sgd") return update_sgd(w + begin, g + begin, m + begin, n, r);
    if (options.kind == "adamax") return update_adamax(w + begin, g + begin, m + begin, v + begin, n, r);
    if (options.kind == "shift_adamax") return update_shift_adamax(w + begin, g + begin, m + begin, v + begin, n, r);
    update_adam(w + begin, g + begin, m + begin, v + begin, n, r);
  });
  if (!values.is_alias_of(*parameter.tensor)) parameter.tensor->copy_(values);
}

Optimizer::Optimizer(const OptimizerOptions& options) : state_(std::make_unique<State>()) {
  check(options);
  state_->options = options;
}

Optimizer::~Optimizer() = default;
Optimizer::Optimizer(Optimizer&&) noexcept = default;

void Optimizer::step(const std::vector<Parameter>& parameters, double learning_rate) {
  const at::NoGradGuard no_gradient;
  ++state_->steps;
  for (const Parameter& parameter : parameters) {
    if (!parameter.trainable || !parameter.tensor->grad().defined()) continue;
    state_->update(parameter, learning_rate);
    if (parameter.weight_quantizer != nullptr) parameter.weight_quantizer->after_step(*parameter.tensor);
  }
}

std::int64_t Optimizer::steps() const { return state_->steps; }

std::map<std::string, Tensor> Optimizer::state() const {
  std::map<std::string, Tensor> tensors = state_->saved;
  for (const auto& [name, slot] : state_->slots) {
    tensors[state_->first_name() + name] = from_torch(slot.m);
    if (slot.v.defined()) tensors["scale/" + name] = from_torch(slot.v);
  }
  return tensors;
}

void Optimizer::restore(std::int64_t steps, const std::map<std::string, Tensor>& state) {
  state_->steps = steps;
  state_->slots.clear();
  state_->saved = state;
}

double clip_gradients(const std::vector<Parameter>& parameters, double max_norm) {
  const at::NoGradGuard no_gradient;
  double sum = 0;
  for (const Parameter& parameter : parameters) {
    if (!parameter.trainable || !parameter.tensor->grad().defined()) continue;
    const double norm = parameter.tensor->grad().norm().item<double>();
    NNQ_CHECK(std::isfinite(norm), "the gradient is not finite", "parameter '" + parameter.name + "'",
              "a lower learning rate may help");
    sum += norm * norm;
  }
  const double norm = std::sqrt(sum);
  if (max_norm > 0 && norm > max_norm)
    for (const Parameter& parameter : parameters)
      if (parameter.trainable && parameter.tensor->grad().defined())
        parameter.tensor->mutable_grad().mul_(max_norm / norm);
  return norm;
}

}  // namespace nnq::train
