#include "train/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "nnq/error.h"
#include "train/loss.h"
#include "train/schedule.h"

namespace nnq::train {
namespace {

/// `graph` with the tensors "model/..." of a checkpoint.
Graph restored(Graph graph, const Checkpoint* from) {
  if (from == nullptr) return graph;
  for (const auto& [name, tensor] : from->tensors) {
    if (!name.starts_with("model/")) continue;
    const std::string initializer = name.substr(6);
    const auto it = graph.initializers.find(initializer);
    NNQ_CHECK(it == graph.initializers.end() || it->second.shape() == tensor.shape(),
              "the checkpoint has '" + initializer + "' in another shape");
    graph.initializers[initializer] = tensor;
  }
  return graph;
}

bool finite(const at::Tensor& t) { return !t.is_floating_point() || at::isfinite(t).all().item<bool>(); }

/// Averaged are weights and normalisation statistics; quantizer state goes with the weights it was made from unless it
/// is trained.
bool is_averaged(const Parameter& p) { return (p.trainable || !p.quantizer_state) && p.tensor->is_floating_point(); }

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Training::Training(const Graph& graph, const Samples& samples, const Preprocessing& preprocessing,
                   const TrainOptions& options, const Checkpoint* from)
    : Training(graph, ImageTask(samples, nullptr, preprocessing), options, from) {}

Training::Training(const Graph& graph, const Task& task, const TrainOptions& options, const Checkpoint* from)
    : options_(options),
      metric_(task.metric()),
      executor_(restored(graph, from), {.seed = options.seed}),
      source_(task.source(options)),
      optimizer_(options.optimizer) {
  if (metric_ == Metric::perplexity) carried_.emplace(graph, options.batch);
  const std::size_t inputs = graph.inputs.size() - (carried_ ? carried_->size() : 0);
  NNQ_CHECK(inputs == 1 && !graph.outputs.empty(),
            "a network of one input is trained; this one has " + std::to_string(inputs));
  NNQ_CHECK(options.epochs >= 0, "the number of epochs must not be negative");
  NNQ_CHECK(options.ema >= 0 && options.ema < 1, "ema must be in 0 .. 1, 1 excluded");
  NNQ_CHECK(options.clip_gradient_norm >= 0, "the gradient norm to clip at must not be negative");
  check_schedule(options.schedule);
  check_loss(options.loss, options.label_smoothing);
  input_ = graph.inputs[0].name;
  if (options.adversarial != "none") {
    NNQ_CHECK(task.preprocessing() != nullptr, "adversarial training changes pixels; text has none", "adversarial",
              "leave the key out");
    adversary_ = std::make_unique<Adversary>(executor_, *task.preprocessing(), options);
  }
  if (options.distillation.teacher != nullptr) {
    teacher_ = std::make_unique<Teacher>(
        options.distillation, graph, options.seed,
        TeacherInput{.come_again = options.augmentation.shift == 0 && options.adversarial == "none",
                     .streams = carried_ ? options.batch : 0});
  }
  if (options_.ema > 0) start_average();
  if (from != nullptr) restore(*from);
}

void Training::restore(const Checkpoint& from) {
  epoch_ = from.epoch;
  batch_ = from.batch;
  step_ = from.step;
  loss_sum_ = from.loss_sum;
  seconds_ = from.seconds;
  correct_ = from.correct;
  seen_ = from.seen;
  std::map<std::string, Tensor> state;
  if (carried_) carried_->restore("carried/", from.tensors);
  for (const auto& [name, tensor] : from.tensors)
    if (name.starts_with("optimizer/")) state[name.substr(10)] = tensor;
  optimizer_.restore(step_, state);
  if (teacher_ != nullptr) teacher_->restore(from.tensors);
  for (auto& [name, average] : average_) {
    const auto it = from.tensors.find("average/" + name);
    NNQ_CHECK(it != from.tensors.end() && it->second.shape() == average.sizes().vec(),
              "the checkpoint has no average of '" + name + "'");
    average.copy_(to_torch(it->second));
  }
}

void Training::start_average() {
  const at::NoGradGuard no_gradient;
  for (const Parameter& p : executor_.parameters())
    if (is_averaged(p)) average_[p.name] = p.tensor->detach().clone();
}

/// Early averages would be mostly the first weights: the share kept grows to options.ema as (1 + t) / (10 + t).
void Training::move_average(const std::vector<Parameter>& parameters) {
  const at::NoGradGuard no_gradient;
  const auto t = static_cast<double>(step_);
  const double kept = std::min(options_.ema, (1 + t) / (10 + t));
  for (const Parameter& p : parameters)
    if (const auto it = average_.find(p.name); it != average_.end()) it->second.lerp_(p.tensor->detach(), 1 - kept);
}

double Training::learning_rate(std::int64_t batch) const {
  const double epoch = static_cast<double>(epoch_) +
                       static_cast<double>(batch) / static_cast<double>(std::max<std::int64_t>(batches(), 1));
  return options_.optimizer.learning_rate * learning_rate_factor(options_.schedule, options_.epochs, epoch, scores_);
}

double Training::progress() const {
  const double total = static_cast<double>(options_.epochs) * static_cast<double>(batches());
  return total > 0 ? std::min(1.0, static_cast<double>(step_) / total) : 0;
}

at::Tensor Training::add_penalties(at::Tensor loss) {
  for (const Parameter& p : executor_.parameters()) {
    if (p.weight_quantizer == nullptr) continue;
    const at::Tensor penalty = p.weight_quantizer->penalty(*p.tensor);
    if (penalty.defined()) loss = loss + penalty;
  }
  return loss;
}

/// The network's inputs: the batch, and the state behind the step before.
std::map<std::string, at::Tensor> Training::inputs_of(const at::Tensor& input) const {
  std::map<std::string, at::Tensor> inputs = {{input_, input}};
  if (carried_) carried_->add_to(inputs);
  return inputs;
}

at::Tensor Training::loss_of(const at::Tensor& scores, const at::Tensor& labels) const {
  if (metric_ == Metric::perplexity && options_.loss == "cross_entropy" && options_.label_smoothing == 0)
    return fused_cross_entropy(scores, labels);
  return batch_loss(options_.loss, options_.label_smoothing, scores, labels);
}

bool Training::step() {
  const auto start = std::chrono::steady_clock::now();
  if (!loading_) {
    source_->start(epoch_, batch_);
    loading_ = true;
  }
  BatchSource::Batch batch;
  if (!source_->next(batch)) return false;
  const at::Tensor labels = to_torch(batch.labels);
  at::Tensor input = to_torch(batch.input);
  executor_.set_progress(progress());
  executor_.set_step(step_);
  if (adversary_ != nullptr) {
    input = adversary_->perturb(input, step_);
    executor_.set_step(step_);  // the attack's passes leave no trace
  }
  const std::map<std::string, at::Tensor> inputs = inputs_of(input);
  const std::vector<at::Tensor> outputs =
      executor_.forward(inputs, true, teacher_ != nullptr ? teacher_->watch_student() : Executor::Observer());
  const bool text = metric_ == Metric::perplexity;
  const at::Tensor scores = text ? outputs.front().flatten(0, -2) : class_scores(outputs.front());
  at::Tensor loss = loss_of(scores, labels);
  if (teacher_ != nullptr) loss = teacher_->mix(loss, scores, input);
  loss = add_penalties(loss);
  const double value = loss.item<double>();
  if (!std::isfinite(value)) explain(inputs, "the loss is " + std::to_string(value));
  loss.backward();
  const std::vector<Parameter> parameters = executor_.parameters();
  if (options_.clip_gradient_norm > 0) clip_gradients(parameters, options_.clip_gradient_norm);
  optimizer_.step(parameters, learning_rate(batch_));
  for (const Parameter& p : parameters) p.tensor->mutable_grad().reset();
  if (carried_) carried_->take_from(outputs);
  ++step_;
  ++batch_;
  if (!average_.empty()) move_average(parameters);
  const std::int64_t size = labels.size(0);
  loss_sum_ += value * static_cast<double>(size);
  if (!text) correct_ += scores.detach().argmax(1).eq(labels).sum().item<std::int64_t>();
  seen_ += size;
  seconds_ += seconds_since(start);
  return true;
}

/// Finds what went non-finite first: a parameter, else the first value of the graph on these inputs.
void Training::explain(const std::map<std::string, at::Tensor>& inputs, const std::string& what) {
  const at::NoGradGuard no_gradient;
  const std::string when =
      "epoch " + std::to_string(epoch_ + 1) + ", batch " + std::to_string(batch_ + 1) + ": " + what;
  const std::string hint = "a lower learning rate or clipped gradients may help";
  for (const Parameter& p : executor_.parameters())  // running statistics are a consequence of this very batch
    if (p.trainable && !finite(*p.tensor)) throw Error(when, "parameter '" + p.name + "' is not finite", hint);
  executor_.set_step(step_);
  std::string first;
  executor_.forward(inputs, true, [&](const std::string& name, const at::Tensor& value) {
    if (first.empty() && !finite(value)) first = name;
  });
  throw Error(when, first.empty() ? "loss" : "value '" + first + "' is not finite", hint);
}

EpochReport Training::finish_epoch() {
  for (const Parameter& p : executor_.parameters())
    NNQ_CHECK(finite(p.tensor->detach()), "is not finite at the end of epoch " + std::to_string(epoch_ + 1),
              "parameter '" + p.name + "'", "a lower learning rate or clipped gradients may help");
  EpochReport report;
  report.learning_rate = learning_rate(batch_ - 1);  // of the last step
  report.epoch = ++epoch_;
  report.loss = mean_loss();
  report.train_accuracy = accuracy();
  report.seconds = seconds_;
  for (const auto& [name, quantizer] : executor_.quantizers())
    for (const auto& [statistic, value] : quantizer->statistics()) report.quantizers[name + "." + statistic] = value;
  batch_ = correct_ = seen_ = 0;
  loss_sum_ = seconds_ = 0;
  loading_ = false;
  if (carried_) carried_->clear();
  if (teacher_ != nullptr) teacher_->start_again();
  return report;
}

double Training::mean_loss() const { return seen_ > 0 ? loss_sum_ / static_cast<double>(seen_) : 0; }

std::string Training::progress_text() const {
  if (metric_ == Metric::perplexity)
    return teacher_ != nullptr ? fmt::format("loss {:.3f}", mean_loss())
                               : fmt::format("perplexity {:.1f}", std::exp(mean_loss()));
  return fmt::format("loss {:.3f}, {:.1f} %", mean_loss(), accuracy());
}

double Training::accuracy() const {
  if (metric_ == Metric::perplexity) return -1;
  return seen_ > 0 ? 100 * static_cast<double>(correct_) / static_cast<double>(seen_) : 0;
}

Graph Training::graph() const {
  Graph graph = executor_.graph();
  for (const auto& [name, average] : average_) graph.initializers[name] = from_torch(average);
  return graph;
}

Checkpoint Training::checkpoint() {
  Checkpoint c;
  c.epoch = epoch_;
  c.batch = batch_;
  c.step = step_;
  c.loss_sum = loss_sum_;
  c.seconds = seconds_;
  c.correct = correct_;
  c.seen = seen_;
  for (const Parameter& p : executor_.parameters()) c.tensors["model/" + p.name] = from_torch(*p.tensor);
  for (const auto& [name, tensor] : optimizer_.state()) c.tensors["optimizer/" + name] = tensor;
  if (carried_) carried_->save("carried/", c.tensors);
  for (const auto& [name, average] : average_) c.tensors["average/" + name] = from_torch(average);
  if (teacher_ != nullptr) teacher_->save(c.tensors);
  return c;
}

}  // namespace nnq::train
