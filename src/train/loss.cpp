#include "train/loss.h"

#include <ATen/ATen.h>
#include <torch/autograd.h>

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

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check_labels(const at::Tensor& scores, const at::Tensor& labels) {
  NNQ_CHECK(labels.numel() > 0 && labels.dim() == 1 && scores.dim() == 2 && scores.size(0) == labels.size(0),
            "scores of shape " + to_string(scores.sizes().vec()) + " do not go with " + std::to_string(labels.numel()) +
                " labels");
  const auto highest = labels.max().item<std::int64_t>(), lowest = labels.min().item<std::int64_t>();
  NNQ_CHECK(lowest >= 0 && highest < scores.size(1), "label " + std::to_string(lowest < 0 ? lowest : highest) +
                                                         " is beyond the network's " + std::to_string(scores.size(1)) +
                                                         " classes");
}

struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& scores, const at::Tensor& labels) {
    const at::Tensor log_share = at::log_softmax(scores, 1);
    const at::Tensor loss = log_share.gather(1, labels.unsqueeze(1)).mean().neg();
    context->save_for_backward({labels});
    context->saved_data["log_share"] = log_share;  // written over by backward, which runs once
    return loss;
  }

  static variable_list backward(AutogradContext* context, variable_list gradient) {
    const at::Tensor labels = context->get_saved_variables()[0];
    const at::Tensor log_share = context->saved_data["log_share"].toTensor();
    context->saved_data.erase("log_share");
    const at::Tensor share = log_share.exp_();
    auto* const values = share.data_ptr<float>();
    const auto* const label = labels.data_ptr<std::int64_t>();
    for (std::int64_t n = 0; n < labels.size(0); ++n) values[n * share.size(1) + label[n]] -= 1;
    return {share.mul_(gradient[0].item<double>() / static_cast<double>(labels.size(0))), at::Tensor()};
  }
};

/// Mean over rows of KL(softmax(teacher) || softmax(student)); d/d student = (softmax(student) - softmax(teacher)) /
/// rows. One pass each way, for vocabularies.
struct Divergence : torch::autograd::Function<Divergence> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& student, const at::Tensor& teacher) {
    const at::Tensor log_student = at::log_softmax(student, 1), log_teacher = at::log_softmax(teacher, 1);
    const at::Tensor share = log_teacher.exp();
    const at::Tensor value = (log_teacher - log_student).mul_(share).sum(1).mean();
    context->save_for_backward({log_student.exp().sub_(share)});
    return value;
  }
  static variable_list backward(AutogradContext* context, variable_list gradient) {
    const at::Tensor difference = context->get_saved_variables()[0];
    return {difference * (gradient[0] / difference.size(0)), at::Tensor()};
  }
};

}  // namespace

at::Tensor fused_cross_entropy(const at::Tensor& scores, const at::Tensor& labels) {
  check_labels(scores, labels);
  if (scores.scalar_type() != at::kFloat) return at::cross_entropy_loss(scores, labels);
  return CrossEntropy::apply(scores.contiguous(), labels.contiguous());
}

at::Tensor batch_loss(const std::string& kind, double label_smoothing, const at::Tensor& scores,
                      const at::Tensor& labels) {
  check_labels(scores, labels);
  if (kind == "squared_hinge") {
    const at::Tensor targets = at::full_like(scores, -1).scatter_(1, labels.unsqueeze(1), 1);
    return at::relu(1 - targets.detach() * scores).square().mean();
  }
  return at::cross_entropy_loss(scores, labels, {}, at::Reduction::Mean, -100, label_smoothing);
}

at::Tensor distillation_loss(const at::Tensor& loss, const at::Tensor& student_scores, const at::Tensor& teacher_scores,
                             double weight, double temperature) {
  if (weight == 0) return loss;
  const at::Tensor divergence = Divergence::apply(student_scores / temperature, teacher_scores.detach() / temperature);
  const at::Tensor taught = divergence * (weight * temperature * temperature);
  return weight == 1 ? taught : taught + loss * (1 - weight);
}

at::Tensor class_scores(const at::Tensor& output) {
  NNQ_CHECK(output.dim() >= 2, "a classifier's output is [n, classes], this one is " + to_string(output.sizes().vec()));
  return output.dim() == 2 ? output : output.flatten(1);
}

}  // namespace nnq::train
