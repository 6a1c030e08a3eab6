// The statistics of batch normalisation, measured anew: what training collected is of other weights once a network is
// pruned or quantized afterwards, and lags behind weights that still move.
#pragma once

#include <cstdint>

#include "nnq/dataset.h"
#include "nnq/graph.h"

namespace nnq::train {

struct StatisticsOptions {
  std::int64_t batches = 50, batch = 128;
  std::uint64_t seed = 1;  // of the order in which training images are taken
  Augmentation
      augmentation;  // as in training: what shifts bring in at the borders is part of what weights were made for
};

/// `graph` with the mean and variance of every BatchNormalization over up to `batches` batches of `samples`, weights
/// and activations quantized as they deploy; each layer sees what the layers before it make with the batch's own
/// statistics, so one pass measures all. The variance is the mean of the batches' unbiased ones plus the variance of
/// their means. ShiftBatchNormalization gets the mean of its batches' statistics. Nothing else of the graph changes.
/// Throws nnq::Error when there is no batch normalisation, or too little data for a variance.
Graph reestimate_batch_norm(const Graph& graph, const Samples& samples, const Preprocessing& preprocessing,
                            const StatisticsOptions& options);

}  // namespace nnq::train
