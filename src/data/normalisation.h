// The normalisation of a network that does not state its own.
#pragma once

#include <functional>

#include "nnq/dataset.h"

namespace nnq {

/// Networks of other tools carry no description of their input. Tries the normalisations in common use (none, to
/// [-1, 1], ImageNet's, the data set's own mean and deviation) on up to 256 labelled samples and returns the one with
/// the best accuracy; says so on stderr. logits: the network's output [n, classes] for an input [n, C, H, W].
Preprocessing find_normalisation(const Samples& samples, const std::function<Tensor(const Tensor& input)>& logits);

}  // namespace nnq
