// Shift-based batch normalization of BNN (arXiv:1602.02830, algorithm 3; /docs/papers), as an autograd function.
#pragma once

namespace at {
class Tensor;
}

namespace nnq::train {

/// Training form on x [N, C, ...] with gamma, beta [C]; per channel over everything else:
///   centred = x - mean, approximate variance v = mean(centred * AP2(centred)), s = AP2(1 / sqrt(v + epsilon)),
///   y = AP2(gamma) * (centred * s) + beta
/// mean and inverse_std [C] are running averages, moved in place: old * momentum + new * (1 - momentum), of the mean
/// and of the unrounded 1 / sqrt(v + epsilon). Gradients are the authors': see the .cpp file.
at::Tensor shift_batch_norm(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta, at::Tensor& mean,
                            at::Tensor& inverse_std, double epsilon, double momentum);

}  // namespace nnq::train
