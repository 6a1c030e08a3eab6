// The training loop around Training: validation, the best weights, checkpoints, early stop, interruption.
#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/random.h"
#include "nnq/error.h"
#include "train/checkpoint.h"
#include "train/schedule.h"
#include "train/teacher.h"
#include "train/training.h"

namespace nnq::train {
namespace {

/// Everything that changes the weights, except the number of epochs: a finished run may be made longer.
std::map<std::string, std::string> describe_run(const Graph& graph, const Samples& samples, const Samples* validation,
                                                const Preprocessing& preprocessing, const TrainOptions& o) {
  const auto size = [](const Samples& s) { return s.images.defined() ? to_string(s.images.shape()) : "none"; };
  std::string names;  // structure and shapes, not values
  for (const auto& [name, tensor] : graph.initializers) names += name + to_string(tensor.shape()) + "\n";
  for (const Node& node : graph.nodes) names += node.name + " " + node.domain + " " + node.op + "\n";
  std::string input;
  for (const auto& [key, value] : preprocessing.to_metadata()) input += key + "=" + value + " ";
  std::string milestones;
  for (const std::int64_t m : o.schedule.milestones) milestones += std::to_string(m) + " ";
  const DistillationOptions& d = o.distillation;
  const std::string teacher = d.teacher == nullptr ? ""
                                                   : fmt::format(" teacher {} weight {} temperature {}",
                                                                 network_hash(*d.teacher), d.weight, d.temperature);
  const OptimizerOptions& p = o.optimizer;
  const ScheduleOptions& s = o.schedule;
  return {
      {"network", fmt::format("{:016x}", hash64(names))},
      {"samples", fmt::format("{} {:016x}", size(samples), samples.hash)},
      {"validation samples", validation == nullptr ? "none" : size(*validation)},
      {"preprocessing", input},
      {"optimizer",
       fmt::format("{} lr {} momentum {} nesterov {} decay {} betas {} {} epsilon {} state {}", p.kind, p.learning_rate,
                   p.momentum, p.nesterov, p.weight_decay, p.beta1, p.beta2, p.epsilon, p.state_learning_rate)},
      {"schedule", fmt::format("{} warmup {} gamma {} every {} milestones {}final {} patience {}", s.kind,
                               s.warmup_epochs, s.gamma, s.every, milestones, s.final_factor, s.patience)},
      {"batch", std::to_string(o.batch)},
      {"loss", fmt::format("{} smoothing {}{}", o.loss, o.label_smoothing, teacher)},
      {"gradient norm", fmt::format("{}", o.clip_gradient_norm)},
      {"ema", fmt::format("{}", o.ema)},
      {"seed", std::to_string(o.seed)},
      {"augmentation", fmt::format("shift {} flip {}", o.augmentation.shift, o.augmentation.flip)},
  };
}

void check_same_run(const std::map<std::string, std::string>& run, const Checkpoint& from, const std::string& file) {
  for (const auto& [key, value] : run) {
    const auto it = from.run.find(key);
    const std::string was = it == from.run.end() ? "nothing" : it->second;
    NNQ_CHECK(was == value, "belongs to another run: its " + key + " was '" + was + "', now it is '" + value + "'",
              file, "resume with the same settings, or train again without --resume");
  }
}

/// train_graph's own state around a Training.
class Run {
 public:
  Run(const Graph& graph, const Samples& samples, const Samples* validation, const Preprocessing& preprocessing,
      const TrainOptions& options, std::filesystem::path folder, bool resume)
      : validation_(validation),
        preprocessing_(preprocessing),
        options_(options),
        folder_(std::move(folder)),
        run_(describe_run(graph, samples, validation, preprocessing, options)),
        from_(take_up(resume)),
        training_(graph, samples, preprocessing, options, from_ ? &*from_ : nullptr) {
    if (!from_) return;
    history_ = std::move(from_->history);
    best_validation_ = from_->best_validation;
    for (const auto& [name, tensor] : from_->tensors)
      if (name.starts_with("best/")) best_[name.substr(5)] = tensor;
    training_.set_scores(scores());
    from_.reset();
  }

  TrainResult loop(const std::function<void(const EpochReport&)>& on_epoch) {
    const auto epochs_done = static_cast<std::int64_t>(history_.size());
    if (on_epoch)
      for (const EpochReport& earlier : history_) on_epoch(earlier);
    Progress progress("training", (options_.epochs - epochs_done) * training_.batches() - training_.batches_done());
    while (!finished()) {
      const std::string title = fmt::format("epoch {}/{}", history_.size() + 1, options_.epochs);
      do {
        if (interrupted()) {
          save();
          return result(true);
        }
        if (training_.batches_done() > 0)
          progress.advance(
              1, fmt::format("{}, loss {:.3f}, {:.1f} %", title, training_.mean_loss(), training_.accuracy()));
      } while (training_.step());
      end_epoch(on_epoch);
    }
    return result(false);
  }

 private:
  std::optional<Checkpoint> take_up(bool resume) {
    const std::filesystem::path file = checkpoint_file(folder_);
    if (!resume) {  // nothing stale may be resumed when this run is killed before its first checkpoint
      std::error_code ignored;
      std::filesystem::remove(file, ignored);
      return std::nullopt;
    }
    auto from = load_checkpoint(folder_);
    if (from) check_same_run(run_, *from, file.string());
    return from;
  }

  std::vector<double> scores() const {
    std::vector<double> scores;
    for (const EpochReport& r : history_) scores.push_back(validation_ != nullptr ? r.validation : -r.loss);
    return scores;
  }

  bool finished() const {
    if (static_cast<std::int64_t>(history_.size()) >= options_.epochs) return true;
    return options_.early_stop > 0 && epochs_without_improvement(scores()) >= options_.early_stop;
  }

  void end_epoch(const std::function<void(const EpochReport&)>& on_epoch) {
    EpochReport report = training_.finish_epoch();
    if (validation_ != nullptr) {
      const Graph graph = training_.graph();
      report.validation = evaluate_accuracy(freeze_graph(graph, options_.seed), *validation_, preprocessing_,
                                            options_.batch, "validation");
      if (report.validation > best_validation_) {
        best_validation_ = report.validation;
        if (options_.keep_best) best_ = graph.initializers;
      }
    }
    history_.push_back(report);
    training_.set_scores(scores());
    if (on_epoch) on_epoch(report);
    save();
  }

  void save() {
    Checkpoint c = training_.checkpoint();
    c.run = run_;
    c.history = history_;
    c.best_validation = best_validation_;
    for (const auto& [name, tensor] : best_)
      if (c.tensors.contains("model/" + name)) c.tensors["best/" + name] = tensor;
    save_checkpoint(c, folder_);
  }

  TrainResult result(bool interrupted) {
    TrainResult result;
    result.graph = training_.graph();
    for (const auto& [name, tensor] : best_)
      if (result.graph.initializers.contains(name)) result.graph.initializers[name] = tensor;
    result.epochs_done = static_cast<std::int64_t>(history_.size());
    result.best_validation = best_validation_;
    result.interrupted = interrupted;
    result.history = history_;
    return result;
  }

  const Samples* validation_;
  const Preprocessing& preprocessing_;
  const TrainOptions& options_;
  std::filesystem::path folder_;
  std::map<std::string, std::string> run_;
  std::optional<Checkpoint> from_;
  Training training_;
  std::vector<EpochReport> history_;
  double best_validation_ = -1;
  std::map<std::string, Tensor> best_;
};

}  // namespace

TrainResult train_graph(const Graph& graph, const Samples& samples, const Samples* validation,
                        const Preprocessing& preprocessing, const TrainOptions& options,
                        const std::filesystem::path& checkpoint_folder, bool resume,
                        const std::function<void(const EpochReport&)>& on_epoch) {
  const InterruptGuard guard;
  return Run(graph, samples, validation, preprocessing, options, checkpoint_folder, resume).loop(on_epoch);
}

}  // namespace nnq::train
