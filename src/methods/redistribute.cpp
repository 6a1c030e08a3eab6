#include "methods/redistribute.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "nnq/error.h"
#include "train/executor.h"
#include "train/loss.h"

namespace nnq::methods {
namespace {

constexpr std::int64_t kLeast = 2, kMost = 256;

/// Adds to or takes from one tensor at a time until all together have `total`.
void settle(std::vector<std::int64_t>& points, std::int64_t total) {
  for (std::int64_t& p : points) p = std::clamp(p, kLeast, kMost);
  std::int64_t sum = std::accumulate(points.begin(), points.end(), std::int64_t{0});
  for (; sum > total; --sum) --*std::max_element(points.begin(), points.end());
  for (; sum < total; ++sum) ++*std::min_element(points.begin(), points.end());
}

bool is_differentiable(const Node& node) {
  return node.is("Quantizer", kNnqDomain) && node.get_string("method", "") == "differentiable";
}

std::int64_t bits_of(std::int64_t points) {
  std::int64_t bits = 1;
  while (std::int64_t{1} << bits < points) ++bits;
  return bits;
}

}  // namespace

std::vector<std::int64_t> redistributed_points(const std::vector<double>& norms, std::int64_t points) {
  NNQ_CHECK(points >= kLeast && points <= kMost,
            "2 to 256 points a tensor can be redistributed, not " + std::to_string(points));
  double sum = 0;
  for (const double norm : norms) {
    NNQ_CHECK(std::isfinite(norm) && norm >= 0, "a gradient has no norm: " + std::to_string(norm));
    sum += norm;
  }
  const auto tensors = static_cast<std::int64_t>(norms.size());
  const std::int64_t base = points / 2, total = tensors * points, rest = total - tensors * base;
  std::vector<std::int64_t> result;
  for (const double norm : norms) {
    const double share = sum > 0 ? norm / sum : 1 / static_cast<double>(tensors);
    result.push_back(base + std::llround(share * static_cast<double>(rest)));
  }
  settle(result, total);
  return result;
}

std::vector<double> gradient_norms(const Graph& network, const std::vector<std::string>& initializers,
                                   const Samples& samples, const Preprocessing& preprocessing, std::int64_t batches,
                                   std::int64_t batch, std::uint64_t seed) {
  NNQ_CHECK(batches > 0 && batch > 0, "batches and batch must be above 0");
  train::Executor executor(network, {.seed = seed});
  std::map<std::string, at::Tensor*> tensors;
  for (const train::Parameter& p : executor.parameters())
    if (p.trainable) tensors[p.name] = p.tensor;
  for (const std::string& name : initializers)
    NNQ_CHECK(tensors.contains(name), "is not trained in the float network", "weight '" + name + "'");
  BatchLoader loader(samples, preprocessing, {.batch = batch, .shuffle = true, .seed = seed});
  loader.start(0);
  std::vector<double> norms(initializers.size(), 0);
  std::int64_t seen = 0;
  BatchLoader::Batch next;
  for (; seen < batches && loader.next(next); ++seen) {
    const at::Tensor scores = executor.forward({{executor.input_name(), train::to_torch(next.images)}}, true).front();
    train::batch_loss("cross_entropy", 0, train::class_scores(scores), train::to_torch(next.labels)).backward();
    for (std::size_t i = 0; i < initializers.size(); ++i)
      norms[i] += tensors.at(initializers[i])->grad().to(at::kDouble).norm().item<double>();
    for (auto& [name, tensor] : tensors) tensor->mutable_grad().reset();
  }
  for (double& norm : norms) norm /= static_cast<double>(std::max<std::int64_t>(seen, 1));
  return norms;
}

Graph redistribute_points(Graph graph, const Graph& reference, const Samples& samples,
                          const Preprocessing& preprocessing, std::int64_t batches, std::int64_t batch,
                          std::uint64_t seed, std::vector<TensorPoints>& result) {
  std::vector<Node*> nodes;
  std::vector<std::string> weights;
  for (Node& node : graph.nodes) {
    if (!is_differentiable(node)) continue;
    NNQ_CHECK(graph.initializer(node.name + ".points") == nullptr, "has its points already", "node '" + node.name + "'",
              "redistribute before calibration and training");
    NNQ_CHECK(nodes.empty() || node.get_int("bits", 8) == nodes[0]->get_int("bits", 8),
              "has other bits than '" + (nodes.empty() ? std::string() : nodes[0]->name) + "'",
              "node '" + node.name + "'", "the budget is one number of points for all");
    nodes.push_back(&node);
    weights.push_back(node.inputs.at(0));
  }
  NNQ_CHECK(!nodes.empty(), "no weight is quantized by the method 'differentiable'", "redistribute_points");
  const std::vector<double> norms = gradient_norms(reference, weights, samples, preprocessing, batches, batch, seed);
  const std::vector<std::int64_t> points = redistributed_points(norms, std::int64_t{1} << nodes[0]->get_int("bits", 8));
  result.clear();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i]->attributes["points"] = points[i];
    nodes[i]->attributes["bits"] = bits_of(points[i]);
    result.push_back({nodes[i]->name, weights[i], norms[i], points[i]});
  }
  return graph;
}

}  // namespace nnq::methods
