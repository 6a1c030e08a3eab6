// Mining the interactions of a trained binary network (CI-BCNN, Wang et al., CVPR 2019, sec. 3.3). Torch-free header.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "methods/search/interactions.h"
#include "nnq/dataset.h"

namespace nnq::methods {

struct MiningOptions {
  std::int64_t steps = 100, batch = 500;  // proposals, and images that judge each of them
  double unit_share = 0.01;               // U0: a correction's unit in shares of the largest popcount
  double density = 0.1;                   // rho_max: edges of a block by its pairs
  int k0 = 2;                             // influences are +-3 .. +-(2 K0 + 1)
  double least_change = 0.003;            // h: smaller changes of the loss earn nothing
  double learning_rate = 1e-3;            // of the policy, Adam
};

struct MiningResult {
  std::vector<LayerInteractions> layers;   // with the edges that stayed
  double loss_before = 0, loss_after = 0;  // on the judging images, in evaluation mode
  std::int64_t accepted = 0, rejected = 0;
};

/// Each step the policy creates, deletes and weighs interactions in every layer at once; the loss on the judging
/// images, normalisation in evaluation mode, and the sizes of teachers and students give the reward r. With r > 0 and
/// no higher loss the new interactions stay, else the old ones. The policy learns by REINFORCE: -r log(probability of
/// what was done), and r/2 (T - influence used)^2 for the weights of edges. Same seed, same interactions. Throws
/// nnq::Error when no layer of `graph` can have interactions.
MiningResult mine_interactions(const Graph& graph, const Samples& samples, const Preprocessing& preprocessing,
                               const MiningOptions& options, std::uint64_t seed);

}  // namespace nnq::methods
