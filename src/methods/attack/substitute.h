// The substitute's Jacobian augmentation, for tests with the sheet's numbers.
#pragma once

#include "train/attack.h"

namespace nnq::methods {

/// clip(x + lambda sign(d softmax(scores)_label / dx), 0, 1): the direction in which the label's probability moves
/// most.
at::Tensor jacobian_points(train::AttackTarget& substitute, const at::Tensor& pixels, const at::Tensor& labels,
                           double lambda);

}  // namespace nnq::methods
