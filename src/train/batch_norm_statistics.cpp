#include "train/batch_norm_statistics.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "nnq/error.h"
#include "train/executor.h"

namespace nnq::train {
namespace {

constexpr std::size_t kMean = 3, kSpread = 4;  // inputs; the second is a variance, or an inverse deviation

struct Layer {
  std::string node, mean, spread;  // the last two: initializers
  bool variance = true;            // else ShiftBatchNormalization's inverse deviation
  std::vector<double> mean_sum, mean_squares, spread_sum;
};

/// The layers; their nodes normalise by the batch from now on and keep its statistics alone.
std::vector<Layer> take_layers(Graph& graph) {
  std::vector<Layer> layers;
  for (Node& node : graph.nodes) {
    const bool shift = node.is("ShiftBatchNormalization", kNnqDomain);
    if (!shift && !node.is("BatchNormalization")) continue;
    NNQ_CHECK(node.inputs.size() > kSpread && graph.initializer(node.inputs[kMean]) != nullptr &&
                  graph.initializer(node.inputs[kSpread]) != nullptr,
              "its statistics are no constants of the graph", "node '" + node.name + "'");
    node.attributes["training_mode"] = std::int64_t{1};
    node.attributes["momentum"] = 0.0F;
    layers.push_back({node.name, node.inputs[kMean], node.inputs[kSpread], !shift, {}, {}, {}});
  }
  NNQ_CHECK(!layers.empty(), "there is no batch normalisation to measure", "graph '" + graph.name + "'",
            "it may have been folded into the layers: fold_batch_norm = false in the quantize stage");
  return layers;
}

void add_batch(Layer& layer, const std::map<std::string, at::Tensor*>& buffers) {
  const at::Tensor mean = buffers.at(layer.mean)->to(at::kDouble).contiguous(),
                   spread = buffers.at(layer.spread)->to(at::kDouble).contiguous();
  const auto channels = static_cast<std::size_t>(mean.numel());
  for (std::vector<double>* sum : {&layer.mean_sum, &layer.mean_squares, &layer.spread_sum}) sum->resize(channels, 0);
  for (std::size_t c = 0; c < channels; ++c) {
    const double m = mean.data_ptr<double>()[c], s = spread.data_ptr<double>()[c];
    NNQ_CHECK(std::isfinite(m) && std::isfinite(s), "the statistics of a batch are not finite",
              "node '" + layer.node + "'", "a variance needs more than one value a channel: give a larger batch");
    layer.mean_sum[c] += m;
    layer.mean_squares[c] += m * m;
    layer.spread_sum[c] += s;
  }
}

void write(Graph& graph, const Layer& layer, double batches) {
  float* mean = graph.initializers.at(layer.mean).mutable_as<float>();
  float* spread = graph.initializers.at(layer.spread).mutable_as<float>();
  for (std::size_t c = 0; c < layer.mean_sum.size(); ++c) {
    const double m = layer.mean_sum[c] / batches;
    const double between = layer.variance ? std::max(0.0, layer.mean_squares[c] / batches - m * m) : 0;
    mean[c] = static_cast<float>(m);
    spread[c] = static_cast<float>(layer.spread_sum[c] / batches + between);
  }
}

}  // namespace

Graph reestimate_batch_norm(const Graph& graph, const Samples& samples, const Preprocessing& preprocessing,
                            const StatisticsOptions& options) {
  NNQ_CHECK(options.batches > 0 && options.batch > 0, "batches and batch must be above 0", "batch normalisation");
  Graph measuring = graph;
  std::vector<Layer> layers = take_layers(measuring);
  const at::NoGradGuard no_gradient;
  Executor executor(std::move(measuring), {.seed = options.seed});
  std::map<std::string, at::Tensor*> buffers;
  for (const Parameter& p : executor.parameters()) buffers[p.name] = p.tensor;
  const std::int64_t count = samples.images.shape()[0], batch = std::min(options.batch, count);
  NNQ_CHECK(batch > 0, "there are no images to measure on", samples.source);
  BatchLoader loader(samples, preprocessing, {batch, true, true, options.seed, options.augmentation});
  loader.start(0);
  std::int64_t seen = 0;
  BatchLoader::Batch next;
  for (; seen < options.batches && loader.next(next); ++seen) {
    executor.forward({{executor.input_name(), to_torch(next.images)}}, false);
    for (Layer& layer : layers) add_batch(layer, buffers);
  }
  Graph result = graph;
  for (const Layer& layer : layers) write(result, layer, static_cast<double>(seen));
  return result;
}

}  // namespace nnq::train
