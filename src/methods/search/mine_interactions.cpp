#include "methods/search/mine_interactions.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/random.h"
#include "methods/search/policy_network.h"
#include "nnq/error.h"
#include "train/executor.h"
#include "train/loss.h"
#include "train/optimizer.h"

namespace nnq::methods {
namespace {

/// What one graph of interactions is worth.
struct Judgement {
  double loss = 0, magnitudes = 0;  // magnitudes: reward r_p
};

class Miner {
 public:
  Miner(const Graph& graph, const Samples& samples, const Preprocessing& preprocessing, const MiningOptions& options,
        std::uint64_t seed)
      : base_(graph),
        options_(options),
        random_(seed, "mine_interactions"),
        policy_(seed),
        optimizer_({.kind = "adam", .learning_rate = options.learning_rate}) {
    result_.layers = interaction_layers(graph, options.unit_share, {PolicyNetwork::block, options.density});
    NNQ_CHECK(!result_.layers.empty(), "no layer has sums of signs that interactions could correct", graph.name,
              "convolutions without bias whose weights and inputs have method bnn can");
    const std::int64_t count = samples.images.defined() ? samples.images.shape()[0] : 0;
    NNQ_CHECK(count > 0, "mining needs images", samples.source);
    std::vector<std::int64_t> chosen = random_.permutation(count);
    chosen.resize(static_cast<std::size_t>(std::min(options.batch, count)));
    images_ = train::to_torch(preprocessing.apply(samples, chosen));
    labels_ = at::empty({static_cast<std::int64_t>(chosen.size())}, at::kLong);
    for (std::size_t i = 0; i < chosen.size(); ++i)
      labels_.data_ptr<std::int64_t>()[i] = samples.labels.as<std::int64_t>()[chosen[i]];
  }

  MiningResult run() {
    Judgement current = judge(result_.layers);
    result_.loss_before = current.loss;
    Progress progress("mining interactions", options_.steps);
    for (std::int64_t step = 0; step < options_.steps && !interrupted(); ++step) {
      std::vector<const ChannelGraph*> graphs;
      for (const LayerInteractions& layer : result_.layers) graphs.push_back(&layer.graph);
      const std::vector<LayerPolicy> policies = policy_.forward(graphs, options_.k0);
      std::vector<LayerInteractions> proposed = result_.layers;
      log_probability_ = at::zeros({});
      squares_ = at::zeros({});
      for (std::size_t i = 0; i < proposed.size(); ++i) act(proposed[i].graph, policies[i]);
      const Judgement next = judge(proposed);
      const double reward = reward_of_loss(current.loss, next.loss, options_.least_change) + next.magnitudes;
      learn(reward);
      if (reward > 0 && next.loss <= current.loss) {
        result_.layers = std::move(proposed);
        current = next;
        ++result_.accepted;
      } else {
        ++result_.rejected;
      }
      progress.advance(1);
    }
    result_.loss_after = current.loss;
    return std::move(result_);
  }

 private:
  Judgement judge(const std::vector<LayerInteractions>& layers) {
    const at::NoGradGuard no_gradient;
    train::Executor executor(with_interactions(base_, layers), {});
    std::map<std::string, at::Tensor> sums;
    for (const LayerInteractions& layer : layers) {
      if (layer.graph.edges().empty()) continue;
      sums[base_.nodes[node_of(layer.layer)].outputs[0]] = at::Tensor();
    }
    const at::Tensor scores =
        executor.forward({{base_.inputs[0].name, images_}}, false, [&](const std::string& name, const at::Tensor& t) {
          if (const auto it = sums.find(name); it != sums.end()) it->second = t.clone();
        })[0];
    Judgement judgement;
    judgement.loss = train::batch_loss("cross_entropy", 0, train::class_scores(scores), labels_).item<double>();
    double signs = 0, terms = 0;
    for (const LayerInteractions& layer : layers)
      for (const Interaction& e : layer.graph.edges()) {
        const at::Tensor& p = sums.at(base_.nodes[node_of(layer.layer)].outputs[0]);
        const at::Tensor difference = p.select(1, e.teacher).abs() - p.select(1, e.student).abs();
        signs += static_cast<double>(difference.gt(0).sum().item<std::int64_t>() -
                                     difference.lt(0).sum().item<std::int64_t>());
        terms += static_cast<double>(difference.numel());
      }
    judgement.magnitudes = terms > 0 ? signs / terms : 0;
    return judgement;
  }

  std::size_t node_of(const std::string& name) const {
    const auto it = std::find_if(base_.nodes.begin(), base_.nodes.end(), [&](const Node& n) { return n.name == name; });
    return static_cast<std::size_t>(it - base_.nodes.begin());
  }

  /// Index drawn from a distribution given as weights.
  std::int64_t draw(const std::vector<double>& weights) {
    double u = random_.uniform() * std::accumulate(weights.begin(), weights.end(), 0.0);
    for (std::size_t i = 0; i < weights.size(); ++i)
      if ((u -= weights[i]) < 0) return static_cast<std::int64_t>(i);
    return static_cast<std::int64_t>(weights.size()) - 1;
  }

  static Interaction entry(std::int64_t index) {
    constexpr std::int64_t b = PolicyNetwork::block;
    return {index / (b * b) * b + index / b % b, index / (b * b) * b + index % b, 3};
  }

  /// Create, delete, weigh: the actions of one layer.
  void act(ChannelGraph& graph, const LayerPolicy& policy) {
    const at::Tensor logs = policy.log_creation.reshape(-1), influence = policy.influence.reshape(-1);
    const at::Tensor plain = logs.detach().contiguous();
    std::vector<double> creation, open;
    for (std::int64_t i = 0; i < plain.numel(); ++i) {
      creation.push_back(std::exp(static_cast<double>(plain.data_ptr<float>()[i])));
      const Interaction e = entry(i);
      open.push_back(graph.may_add(e.teacher, e.student) ? creation.back() : 0);
    }
    if (std::any_of(open.begin(), open.end(), [](double p) { return p > 0; })) {
      const std::int64_t chosen = draw(open);
      if (graph.add(entry(chosen))) log_probability_ = log_probability_ + logs[chosen];
    }
    if (!graph.edges().empty()) erase(graph, logs, creation);
    for (const Interaction& e : std::vector<Interaction>(graph.edges())) {
      const at::Tensor t = influence[index_of(e)];
      const int used = influence_of(std::clamp(t.item<double>(), -1.0, 1.0), options_.k0);
      graph.set_influence(e.teacher, e.student, used);
      squares_ = squares_ + (t - scaled_influence(used != 0 ? used : e.influence, options_.k0)).square();
    }
  }

  static std::int64_t index_of(const Interaction& e) {
    constexpr std::int64_t b = PolicyNetwork::block;
    return e.teacher / b * b * b + e.teacher % b * b + e.student % b;
  }

  /// The place of a deletion is drawn from all pairs; most hold no edge, and nothing happens.
  void erase(ChannelGraph& graph, const at::Tensor& logs, const std::vector<double>& creation) {
    std::vector<double> weights = deletion_distribution(creation);
    for (std::size_t i = 0; i < weights.size(); ++i)
      if (creation[i] == 0) weights[i] = 0;  // no pair of channels
    const std::int64_t chosen = draw(weights);
    const Interaction e = entry(chosen);
    if (!graph.remove(e.teacher, e.student)) return;
    // log(-log p / sum(-log p)) over the pairs there are.
    const at::Tensor valid = logs.detach().isfinite();
    const at::Tensor surprise = -logs.masked_select(valid);
    log_probability_ = log_probability_ + (-logs[chosen]).log() - surprise.sum().log();
  }

  void learn(double reward) {
    at::Tensor loss = -reward * log_probability_ + 0.5 * reward * squares_;
    if (!loss.requires_grad()) return;
    loss.backward();
    const std::vector<train::Parameter> parameters = policy_.parameters();
    optimizer_.step(parameters, options_.learning_rate);
    for (const train::Parameter& p : parameters) p.tensor->mutable_grad().reset();
  }

  const Graph& base_;
  MiningOptions options_;
  Random random_;
  PolicyNetwork policy_;
  train::Optimizer optimizer_;
  MiningResult result_;
  at::Tensor images_, labels_;
  at::Tensor log_probability_, squares_;  // of the actions of this step
};

}  // namespace

MiningResult mine_interactions(const Graph& graph, const Samples& samples, const Preprocessing& preprocessing,
                               const MiningOptions& options, std::uint64_t seed) {
  NNQ_CHECK(options.steps >= 0 && options.batch > 0 && options.k0 >= 1 && options.least_change >= 0,
            "mining needs images, a K0 of 1 or more, and no negative numbers");
  NNQ_CHECK(graph.inputs.size() == 1, "networks of one input are mined", graph.name);
  NNQ_CHECK(!has_interactions(graph), "the network has interactions already", graph.name);
  return Miner(graph, samples, preprocessing, options, seed).run();
}

}  // namespace nnq::methods
