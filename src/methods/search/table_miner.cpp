#include "methods/search/table_miner.h"

#include <vector>

#include "core/random.h"
#include "nnq/error.h"

namespace nnq::methods {
namespace {

struct Action {
  std::int64_t teacher, student;
  int sign;
};

/// All pairs of one block with both signs.
std::vector<Action> actions_of(const ChannelGraph& graph) {
  std::vector<Action> actions;
  for (std::int64_t t = 0; t < graph.channels(); ++t)
    for (std::int64_t s = 0; s < graph.channels(); ++s)
      for (const int sign : {1, -1})
        if (graph.same_block(t, s) && t != s) actions.push_back({t, s, sign});
  return actions;
}

std::size_t draw(const std::vector<double>& probabilities, double u) {
  std::size_t last = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    if (probabilities[i] <= 0) continue;
    last = i;
    if ((u -= probabilities[i]) < 0) return i;
  }
  return last;
}

}  // namespace

ChannelGraph mine_by_table(ChannelGraph graph, const std::function<double(const ChannelGraph&)>& score,
                           const TableMinerOptions& options, std::uint64_t seed) {
  NNQ_CHECK(options.steps >= 0 && options.rate > 0 && options.baseline >= 0 && options.baseline < 1,
            "mining needs steps, a rate above 0 and a baseline in 0 .. 1");
  const std::vector<Action> actions = actions_of(graph);
  std::vector<double> logits(actions.size(), 0);
  Random random(seed, "table_miner");
  double best = score(graph), mean = 0;
  for (std::int64_t step = 0; step < options.steps; ++step) {
    std::vector<std::size_t> open;
    std::vector<double> open_logits;
    for (std::size_t i = 0; i < actions.size(); ++i) {
      if (!graph.may_add(actions[i].teacher, actions[i].student)) continue;
      open.push_back(i);
      open_logits.push_back(logits[i]);
    }
    if (open.empty()) break;
    const std::vector<double> probabilities = softmax(open_logits);
    const std::size_t chosen = draw(probabilities, random.uniform());
    const Action& action = actions[open[chosen]];
    graph.add({action.teacher, action.student, action.sign * options.influence});
    const double value = score(graph);
    const int reward = reward_of_loss(-best, -value, options.threshold);
    if (reward > 0)
      best = value;
    else
      graph.remove(action.teacher, action.student);
    const std::vector<double> gradient = reinforce_gradient(probabilities, chosen, reward - mean);
    for (std::size_t i = 0; i < open.size(); ++i) logits[open[i]] -= options.rate * gradient[i];
    mean = options.baseline * mean + (1 - options.baseline) * reward;
  }
  return graph;
}

}  // namespace nnq::methods
