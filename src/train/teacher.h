// The teacher of a distillation: a network that is run and never trained.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "nnq/graph.h"
#include "train/executor.h"
#include "train/trainer.h"

namespace nnq::train {

/// 16 hex digits of structure and values: which network a teacher was.
std::string network_hash(const Graph& graph);

/// What a teacher will see.
struct TeacherInput {
  bool come_again = false;   // images come again bit by bit, epoch after epoch: neither shifted nor attacked
  std::int64_t streams = 0;  // text: streams read side by side; 0: images
};

class Teacher {
 public:
  /// Scores of images that come again are remembered, unless layers are matched. Throws nnq::Error for options out of
  /// range, a teacher of more than one input (carried state left out), or layers to match that are not in both
  /// networks.
  Teacher(const DistillationOptions& options, const Graph& student, std::uint64_t seed, const TeacherInput& input);
  ~Teacher();

  /// What the forward pass of the student has to call; empty where no layers are matched.
  Executor::Observer watch_student();

  /// (1 - a) loss + a T^2 KL(softmax(z_t / T) || softmax(z_s / T)) + m L, KL averaged over images or words, with the
  /// teacher's logits z_t of this input (images, or the next words of the text, whose state the teacher carries on) in
  /// evaluation mode and without gradient, L of LayerMatching and m its weight. Throws nnq::Error when the classes
  /// differ in number.
  at::Tensor mix(const at::Tensor& loss, const at::Tensor& student_scores, const at::Tensor& input);
  /// The text begins again.
  void start_again();

  /// Remembered scores and carried state, to a checkpoint and back.
  void save(std::map<std::string, Tensor>& tensors) const;
  void restore(const std::map<std::string, Tensor>& tensors);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nnq::train
