// The normalisation of a network that does not state its own.
#pragma once

#include "nnq/dataset.h"
#include "nnq/graph.h"

namespace nnq::recipe {

/// Networks of other tools carry no description of their input. Tries the normalisations in common use (none, to
/// [-1, 1], ImageNet's, the data set's own mean and deviation) on a few hundred labelled samples and returns the one
/// with the best accuracy; says so on stderr.
Preprocessing find_normalisation(const Graph& graph, const Samples& samples);

}  // namespace nnq::recipe
