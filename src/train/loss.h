// Losses of a batch of class scores.
#pragma once

#include <string>

namespace at {
class Tensor;
}

namespace nnq::train {

/// Throws nnq::Error for an unknown loss or a label smoothing that does not go with it.
void check_loss(const std::string& kind, double label_smoothing);

/// Mean loss of `scores` [n, classes] against `labels` (int64 [n]), differentiable:
///   cross_entropy: softmax cross-entropy, targets (1 - s) one_hot + s / classes with s = label_smoothing;
///   squared_hinge: mean over batch and classes of max(0, 1 - t y)^2, t = +1 for the label, else -1 (BNN).
/// Throws nnq::Error when a label is no class of the scores.
at::Tensor batch_loss(const std::string& kind, double label_smoothing, const at::Tensor& scores,
                      const at::Tensor& labels);

/// cross_entropy without smoothing for many classes (a vocabulary): the gradient is made in the memory of the forward
/// pass, without the dense gradient of the likelihood.
at::Tensor fused_cross_entropy(const at::Tensor& scores, const at::Tensor& labels);

/// a T^2 KL(softmax(z_t / T) || softmax(z_s / T)) + (1 - a) loss (Polino et al. 2018, arXiv:1802.05668, sec. 2), the KL
/// divergence summed over classes and averaged over the batch; scores z_s of the student, z_t of the teacher [n,
/// classes], a = weight, T = temperature. Differentiable in loss and z_s.
at::Tensor distillation_loss(const at::Tensor& loss, const at::Tensor& student_scores, const at::Tensor& teacher_scores,
                             double weight, double temperature);

/// The first output of a network as [n, classes].
at::Tensor class_scores(const at::Tensor& output);

}  // namespace nnq::train
