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
#include "train/task.h"
#include "train/teacher.h"
#include "train/training.h"

namespace nnq::train {
namespace {

/// Everything that changes the weights, except the number of epochs: a finished run may be made longer.
std::map<std::string, std::string> describe_run(const Graph& graph, const Task& task, const TrainOptions& o) {
  std::string names;  // structure and shapes, not values
  for (const auto& [name, tensor] : graph.initializers) names += name + to_string(tensor.shape()) + "\n";
  for (const Node& node : graph.nodes) names += node.name + " " + node.domain + " " + node.op + "\n";
  std::string milestones;
  for (const std::int64_t m : o.schedule.milestones) milestones += std::to_string(m) + " ";
  const DistillationOptions& d = o.distillation;
  const std::string teacher =
      d.teacher == nullptr
          ? ""
          : fmt::format(" teacher {} weight {} temperature {}", network_hash(*d.teacher), d.weight, d.temperature) +
                (d.match_layers.empty() ? "" : fmt::format(" match {} of {}", d.match_weight, d.match_layers));
  const OptimizerOptions& p = o.optimizer;
  const ScheduleOptions& s = o.schedule;
  std::map<std::string, std::string> run = task.describe(o);
  run.insert({
      {"network", fmt::format("{:016x}", hash64(names))},
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
  });
  if (o.adversarial != "none")
    run["adversary"] = fmt::format("{} epsilon {} steps {} of {} share {}", o.adversarial, o.attack_epsilon,
                                   o.attack_steps, o.attack_step_size, o.adversarial_share);
  return run;
}

void check_same_run(const std::map<std::string, std::string>& run, const Checkpoint& from, const std::string& file) {
  for (const auto& [key, value] : run) {
    const auto it = from.run.find(key);
    const std::string was = it == from.run.end() ? "nothing" : it->second;
    NNQ_CHECK(was == value, "belongs to another run: its " + key + " was '" + was + "', now it is '" + value + "'",
              file, "resume with the same settings, or train again without --resume");
  }
  for (const auto& [key, was] : from.run)
    NNQ_CHECK(run.contains(key), "belongs to another run: its " + key + " was '" + was + "', now there is none", file,
              "resume with the same settings, or train again without --resume");
}

/// train_graph's own state around a Training.
class TrainingRun {
 public:
  TrainingRun(const Graph& graph, const Task& task, const TrainOptions& options, std::filesystem::path folder,
              bool resume)
      : task_(task),
        options_(options),
        folder_(std::move(folder)),
        run_(describe_run(graph, task, options)),
        from_(take_up(resume)),
        training_(graph, task, options, from_ ? &*from_ : nullptr) {
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
        if (training_.batches_done() > 0) progress.advance(1, fmt::format("{}, {}", title, training_.progress_text()));
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

  double score_of(const EpochReport& report) const {
    return task_.has_validation() ? train::score_of(task_.metric(), report.validation) : -report.loss;
  }

  std::vector<double> scores() const {
    std::vector<double> scores;
    for (const EpochReport& r : history_) scores.push_back(score_of(r));
    return scores;
  }

  bool finished() const {
    if (static_cast<std::int64_t>(history_.size()) >= options_.epochs) return true;
    if (learning_rate_is_spent()) return true;
    return options_.early_stop > 0 && epochs_without_improvement(scores()) >= options_.early_stop;
  }

  bool learning_rate_is_spent() const {
    if (options_.min_learning_rate <= 0 || history_.empty()) return false;
    const double next =
        options_.optimizer.learning_rate *
        learning_rate_factor(options_.schedule, options_.epochs, static_cast<double>(history_.size()), scores());
    return next < options_.min_learning_rate;
  }

  void end_epoch(const std::function<void(const EpochReport&)>& on_epoch) {
    EpochReport report = training_.finish_epoch();
    if (task_.has_validation()) {
      const Graph graph = training_.graph();
      report.validation = task_.validate(freeze_graph(graph, options_.seed), options_);
      if (best_validation_ < 0 || score_of(report) > train::score_of(task_.metric(), best_validation_)) {
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

  const Task& task_;
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

TrainResult train_graph(const Graph& graph, const Task& task, const TrainOptions& options,
                        const std::filesystem::path& checkpoint_folder, bool resume,
                        const std::function<void(const EpochReport&)>& on_epoch) {
  const InterruptGuard guard;
  return TrainingRun(graph, task, options, checkpoint_folder, resume).loop(on_epoch);
}

TrainResult train_graph(const Graph& graph, const Samples& samples, const Samples* validation,
                        const Preprocessing& preprocessing, const TrainOptions& options,
                        const std::filesystem::path& checkpoint_folder, bool resume,
                        const std::function<void(const EpochReport&)>& on_epoch) {
  return train_graph(graph, ImageTask(samples, validation, preprocessing), options, checkpoint_folder, resume,
                     on_epoch);
}

}  // namespace nnq::train
