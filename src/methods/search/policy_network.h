// The policy of CI-BCNN (Wang et al., CVPR 2019, sec. 3.3): a recurrent network over layers that proposes where to
// create and delete interactions and how strong they are.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "methods/search/channel_graph.h"
#include "train/executor.h"

namespace nnq::methods {

/// What the policy says about one layer; all of its blocks as [blocks, 16, 16], teacher by student.
struct LayerPolicy {
  at::Tensor log_creation;  // log of a distribution over all pairs; pairs that cannot be are -infinity
  at::Tensor influence;     // T in -1 .. 1
};

/// Encoder: two 3x3 convolutions (8, 16 filters, stride 2) on the blocks of existence and scaled influence, a linear
/// layer to 64; a gated recurrent unit carries the mean over blocks from layer to layer; the decoder mirrors the
/// encoder. Widths are nnq's: the paper has none.
class PolicyNetwork {
 public:
  static constexpr std::int64_t block = 16, hidden = 64;

  explicit PolicyNetwork(std::uint64_t seed);
  /// One forward pass over all layers' graphs (blocks of 16 channels), recorded for backward().
  std::vector<LayerPolicy> forward(const std::vector<const ChannelGraph*>& graphs, int k0) const;
  /// All weights, for an optimizer.
  std::vector<train::Parameter> parameters();

 private:
  at::Tensor& add(const std::string& name, const Shape& shape, double bound, std::uint64_t seed);
  const at::Tensor& get(const std::string& name) const { return weights_.at(name); }

  std::map<std::string, at::Tensor> weights_;
};

}  // namespace nnq::methods
