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

/// The first output of a network as [n, classes].
at::Tensor class_scores(const at::Tensor& output);

}  // namespace nnq::train
