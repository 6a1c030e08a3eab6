#include "train/loss.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "core/text.h"
#include "nnq/error.h"
#include "nnq/tensor.h"

namespace nnq::train {

void check_loss(const std::string& kind, double label_smoothing) {
  static const std::vector<std::string> known{"cross_entropy", "squared_hinge"};
  if (std::find(known.begin(), known.end(), kind) == known.end())
    throw Error("is not known", "loss '" + kind + "'", suggestion(kind, known));
  NNQ_CHECK(label_smoothing >= 0 && label_smoothing < 1, "label smoothing must be in 0 .. 1, 1 excluded");
  NNQ_CHECK(label_smoothing == 0 || kind == "cross_entropy", "label smoothing goes with cross_entropy only",
            "loss '" + kind + "'");
}

at::Tensor batch_loss(const std::string& kind, double label_smoothing, const at::Tensor& scores,
                      const at::Tensor& labels) {
  NNQ_CHECK(labels.numel() > 0 && labels.dim() == 1 && scores.dim() == 2 && scores.size(0) == labels.size(0),
            "scores of shape " + to_string(scores.sizes().vec()) + " do not go with " + std::to_string(labels.numel()) +
                " labels");
  const auto highest = labels.max().item<std::int64_t>(), lowest = labels.min().item<std::int64_t>();
  NNQ_CHECK(lowest >= 0 && highest < scores.size(1), "label " + std::to_string(lowest < 0 ? lowest : highest) +
                                                         " is beyond the network's " + std::to_string(scores.size(1)) +
                                                         " classes");
  if (kind == "squared_hinge") {
    const at::Tensor targets = at::full_like(scores, -1).scatter_(1, labels.unsqueeze(1), 1);
    return at::relu(1 - targets.detach() * scores).square().mean();
  }
  return at::cross_entropy_loss(scores, labels, {}, at::Reduction::Mean, -100, label_smoothing);
}

at::Tensor distillation_loss(const at::Tensor& loss, const at::Tensor& student_scores, const at::Tensor& teacher_scores,
                             double weight, double temperature) {
  const at::Tensor log_student = at::log_softmax(student_scores / temperature, 1);
  const at::Tensor log_teacher = at::log_softmax(teacher_scores.detach() / temperature, 1);
  const at::Tensor divergence = (log_teacher.exp() * (log_teacher - log_student)).sum(1).mean();
  return divergence * (weight * temperature * temperature) + loss * (1 - weight);
}

at::Tensor class_scores(const at::Tensor& output) {
  NNQ_CHECK(output.dim() >= 2, "a classifier's output is [n, classes], this one is " + to_string(output.sizes().vec()));
  return output.dim() == 2 ? output : output.flatten(1);
}

}  // namespace nnq::train
