// Gradient masking: whether attacks fail because the gradient is useless.  A. Athalye, N. Carlini, D. Wagner 2018
// (arXiv:1802.00420) list the signs; Galloway, Taylor, Moussa 2018 (arXiv:1711.00449) found them on binarized networks.
#pragma once

#include <vector>

#include "methods/victim.h"

namespace nnq::methods {

/// 1 - softmax(logit_scale * scores)_label as float32 arithmetic has it, [n]: exactly 0 where softmax is saturated and
/// the cross-entropy of the label has no slope.
at::Tensor softmax_slack(const at::Tensor& scores, const at::Tensor& labels, double logit_scale);

/// Looks for signs of masking in the victim's own gradients on correctly classified `pixels` (see MaskingDiagnosis) and
/// in the rows measured before. `model` is named in the command proposed next.
MaskingDiagnosis diagnose_masking(Victim& victim, const at::Tensor& pixels, const at::Tensor& labels, double epsilon,
                                  std::uint64_t seed, const std::vector<AttackRow>& rows, const std::string& model);

}  // namespace nnq::methods
