// Mining a layer's interactions by policy gradient with a table of logits: the policy of CI-BCNN (Wang et al., CVPR
// 2019, sec. 3.3) without its network, for one layer whose score can be computed at once. Torch-free.
#pragma once

#include <cstdint>
#include <functional>

#include "methods/search/channel_graph.h"

namespace nnq::methods {

struct TableMinerOptions {
  std::int64_t steps = 25000;
  double rate = 0.3;          // of the logits' gradient
  double baseline = 0.99;     // share of the running mean reward kept a step
  double threshold = 0.0008;  // changes of the score up to this earn nothing
  int influence = 5;          // size of every edge's influence; its sign is chosen
};

/// Tries one edge a step, drawn from softmax(logits) over all (teacher, student, sign) the graph may add; the edge
/// stays when `score` rises by more than the threshold. Reward +1 or -1 where it moves by more, else 0; the logits
/// follow REINFORCE with a running mean as baseline. `score` never falls from one kept graph to the next. Same seed,
/// same graph.
ChannelGraph mine_by_table(ChannelGraph graph, const std::function<double(const ChannelGraph&)>& score,
                           const TableMinerOptions& options, std::uint64_t seed);

}  // namespace nnq::methods
