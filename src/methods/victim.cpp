#include "methods/victim.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "nnq/error.h"
#include "nnq/lower.h"
#include "nnq/program.h"
#include "train/executor.h"
#include "train/loss.h"
#include "train/pixels.h"
#include "train/trainer.h"

namespace nnq::methods {
namespace {

bool fixed_batch(const ValueType& type) { return type.ranked && !type.shape.empty() && type.shape[0].known(); }

/// f over pieces of the model's own batch where it is fixed (the last one filled up), else over all at once.
at::Tensor in_batches(const at::Tensor& pixels, const ValueType& type,
                      const std::function<at::Tensor(const at::Tensor&)>& f) {
  if (!fixed_batch(type)) return f(pixels);
  const std::int64_t batch = type.shape[0].value, count = pixels.size(0);
  NNQ_CHECK(batch > 0, "its batch dimension is 0");
  std::vector<at::Tensor> parts;
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t n = std::min(batch, count - first);
    at::Tensor part = pixels.narrow(0, first, n);
    std::vector<std::int64_t> filling(static_cast<std::size_t>(pixels.dim()), 1);
    filling[0] = batch - n;
    if (n < batch) part = at::cat({part, part.narrow(0, n - 1, 1).repeat(filling)});
    parts.push_back(f(part).narrow(0, 0, n));
  }
  return parts.size() == 1 ? parts[0] : at::cat(parts);
}

/// Networks of flat vectors take images as such.
at::Tensor as_input(const at::Tensor& input, const ValueType& type) {
  return type.ranked && type.shape.size() == 2 && input.dim() > 2 ? input.flatten(1) : input;
}

train::Surrogate surrogate_of(const AttackRequest& request) {
  using enum train::SurrogateKind;
  static const std::map<std::string, train::SurrogateKind> kinds{
      {"own", own}, {"mask", mask}, {"clip", clip}, {"smooth", smooth}};
  const auto it = kinds.find(request.gradient);
  NNQ_CHECK(it != kinds.end(), "there is no gradient '" + request.gradient + "'", "--gradient",
            "known: own, mask, clip, smooth");
  NNQ_CHECK(request.beta > 0 && request.beta <= 1e6, "beta must be above 0", "--beta");
  return {it->second, request.beta};
}

}  // namespace

/// A graph on LibTorch, with gradients.
class Victim::Network {
 public:
  Network(const Graph& graph, const AttackRequest& request)
      : type_(graph.inputs.empty() ? ValueType{} : graph.inputs[0].type),
        executor_(graph, {.seed = request.seed}),
        input_(executor_.input_name()),
        normalisation_(request.preprocessing) {
    executor_.set_surrogate(surrogate_of(request));
  }

  /// From now on stochastic quantizers draw; false when there are none.
  bool draw() {
    executor_.set_drawing(true);
    return executor_.stochastic();
  }

  at::Tensor scores(const at::Tensor& pixels) {
    return in_batches(pixels, type_, [&](const at::Tensor& part) {
      return train::class_scores(
          executor_.forward({{input_, as_input(normalisation_.apply(part), type_)}}, false).front());
    });
  }

 private:
  ValueType type_;
  train::Executor executor_;
  std::string input_;
  train::Normalisation normalisation_;
};

/// A packed model on the runtime.
class Victim::Deployed {
 public:
  explicit Deployed(const AttackRequest& request) : name_(request.name), normalisation_(request.preprocessing) {
    std::shared_ptr<const Model> model = request.packed;
    if (model == nullptr)
      throw_if_error(Model::from_program(lower(train::freeze_graph(request.model, request.seed)), model), name_);
    NNQ_CHECK(model->inputs().size() == 1, "has " + std::to_string(model->inputs().size()) + " inputs, one is needed",
              name_);
    type_ = model->inputs()[0].type;
    throw_if_error(Session::create(model, {.threads = at::get_num_threads()}, session_), name_);
  }

  at::Tensor scores(const at::Tensor& pixels) {
    return in_batches(pixels, type_, [&](const at::Tensor& part) {
      const std::vector<Tensor> inputs{train::from_torch(as_input(normalisation_.apply(part), type_).contiguous())};
      throw_if_error(session_->run(inputs, outputs_), name_);
      NNQ_CHECK(!outputs_.empty(), "has no output", name_);
      return train::class_scores(train::to_torch(outputs_[0]));
    });
  }

 private:
  std::string name_;
  train::Normalisation normalisation_;
  ValueType type_;
  std::unique_ptr<Session> session_;
  std::vector<Tensor> outputs_;
};

Victim::Victim(const AttackRequest& request) : request_(request) {
  const bool has_model = !request.model.nodes.empty();
  NNQ_CHECK(has_model || request.packed != nullptr, "there is no model to attack", request.name);
  NNQ_CHECK(request.runtime || has_model, "a packed model gives predictions on the runtime only", request.name,
            "use --backend runtime");
  if (has_model) model_ = std::make_unique<Network>(request.model, request);
  if (!request.source.nodes.empty()) source_ = std::make_unique<Network>(request.source, request);
  if (request.runtime) deployed_ = std::make_unique<Deployed>(request);
  NNQ_CHECK(request.draws >= 0 && request.draws <= 10000, "draws must be 0 to 10000", "--draws");
  if (request.draws > 0) {
    NNQ_CHECK(!request.runtime, "a deployed network draws nothing", "--draws", "use --backend executor");
    NNQ_CHECK(model_->draw(), "no quantizer of the network draws at random", "--draws",
              "draws are for networks trained with stochastic = true, in training form");
    draws_ = request.draws;
    stochastic_ = true;
  }
  const std::vector<std::int64_t> none{0};
  const at::Tensor one = train::pixels_of(request.samples, none);
  const at::NoGradGuard no_gradient;
  classes_ = (deployed_ ? deployed_->scores(one) : model_->scores(one)).size(1);
  NNQ_CHECK(source_ == nullptr || source_->scores(one).size(1) == classes_,
            "has another number of classes than the model", "--source", "give a network of the same classes");
}

Victim::~Victim() = default;

bool Victim::runtime() const { return deployed_ != nullptr; }
bool Victim::transfer() const { return source_ != nullptr; }
bool Victim::has_gradients() const { return source_ != nullptr || model_ != nullptr; }
bool Victim::white_box() const { return !runtime() && !transfer() && !stochastic_; }

Victim::Network& Victim::gradients() const {
  NNQ_CHECK(
      has_gradients(), "integers have no gradient", request_.name,
      "give the graph it was made from: --source model.onnx (or put it beside the .nnq), or use --attack substitute");
  return source_ ? *source_ : *model_;
}

at::Tensor Victim::scores(const at::Tensor& pixels) {
  queries_ += pixels.size(0);
  return gradients().scores(pixels);
}

at::Tensor Victim::predict(const at::Tensor& pixels) {
  queries_ += pixels.size(0);
  const at::NoGradGuard no_gradient;
  return (deployed_ ? deployed_->scores(pixels) : model_->scores(pixels)).argmax(1);
}

bool Victim::use_own_gradients() {
  source_.reset();
  return model_ != nullptr;
}

std::int64_t Victim::take_queries() { return std::exchange(queries_, 0); }

}  // namespace nnq::methods
