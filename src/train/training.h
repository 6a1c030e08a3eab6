// One training run in memory: what train_graph drives batch by batch. Holds no files.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/adversary.h"
#include "train/carried_state.h"
#include "train/checkpoint.h"
#include "train/executor.h"
#include "train/optimizer.h"
#include "train/task.h"
#include "train/teacher.h"
#include "train/trainer.h"

namespace nnq::train {

class Training {
 public:
  /// Throws nnq::Error for options that do not fit. With `from`, goes on where that checkpoint was made. Keeps
  /// references to the options and to what the task refers to.
  Training(const Graph& graph, const Task& task, const TrainOptions& options, const Checkpoint* from);
  /// The same on images.
  Training(const Graph& graph, const Samples& samples, const Preprocessing& preprocessing, const TrainOptions& options,
           const Checkpoint* from);

  /// Trains on the next batch; false when the epoch has no more. Throws nnq::Error naming the tensor when the loss or a
  /// gradient is not finite.
  bool step();
  /// Ends the epoch: its report, without validation. Throws nnq::Error naming a parameter that is not finite.
  EpochReport finish_epoch();

  std::int64_t batches() const { return source_->batches(); }
  std::int64_t batches_done() const { return batch_; }
  double mean_loss() const;
  double accuracy() const;  // percent; text: -1
  std::string progress_text() const;

  /// The network as it would be handed out now: averaged weights when there is averaging.
  Graph graph() const;
  /// Weights and counters of this run; history and best weights are train_graph's.
  Checkpoint checkpoint();
  /// Scores of the finished epochs, higher is better; the plateau schedule looks at them.
  void set_scores(std::vector<double> scores) { scores_ = std::move(scores); }

 private:
  void restore(const Checkpoint& from);
  void start_average();
  void move_average(const std::vector<Parameter>& parameters);
  double learning_rate(std::int64_t batch) const;
  double progress() const;  // share of the stage's steps that are done
  at::Tensor add_penalties(at::Tensor loss);
  [[noreturn]] void explain(const std::map<std::string, at::Tensor>& inputs, const std::string& what);

  std::map<std::string, at::Tensor> inputs_of(const at::Tensor& input) const;
  at::Tensor loss_of(const at::Tensor& scores, const at::Tensor& labels) const;

  const TrainOptions& options_;
  Metric metric_;
  Executor executor_;
  std::unique_ptr<BatchSource> source_;
  Optimizer optimizer_;
  std::unique_ptr<Adversary> adversary_;  // null: training on clean images
  std::unique_ptr<Teacher> teacher_;      // null: no distillation
  std::string input_;
  std::optional<CarriedState> carried_;  // text: from one step to the next
  std::map<std::string, at::Tensor> average_;
  std::vector<double> scores_;
  std::int64_t epoch_ = 0, batch_ = 0, step_ = 0;
  bool loading_ = false;  // the source runs in epoch_
  double loss_sum_ = 0, seconds_ = 0;
  std::int64_t correct_ = 0, seen_ = 0;
};

}  // namespace nnq::train
