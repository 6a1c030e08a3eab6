// A graph on LibTorch without training: calibration, freezing, accuracy.
#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <string>

#include "core/progress.h"
#include "core/random.h"
#include "data/carried_model.h"
#include "data/perplexity.h"
#include "nnq/error.h"
#include "nnq/recurrent.h"
#include "train/executor.h"
#include "train/loss.h"
#include "train/trainer.h"

namespace nnq::train {
namespace {

constexpr std::int64_t kCalibrationBatch = 100;

std::int64_t count_of(const Samples& samples) { return samples.images.defined() ? samples.images.shape()[0] : 0; }

/// Its nodes normalise by the batch and leave the running statistics alone.
Graph normalising_by_batch(Graph graph) {
  for (Node& node : graph.nodes) {
    if (!node.is("BatchNormalization") && !node.is("ShiftBatchNormalization", kNnqDomain)) continue;
    node.attributes["training_mode"] = std::int64_t{1};
    node.attributes["momentum"] = 1.0F;
  }
  return graph;
}

/// `to` with the batch normalisation nodes of `from`, which has the same nodes.
Graph with_batch_norm_of(const Graph& from, Graph to) {
  std::map<std::string, const Node*> nodes;
  for (const Node& node : from.nodes) nodes[node.name] = &node;
  for (Node& node : to.nodes) {
    if (node.is("BatchNormalization") || node.is("ShiftBatchNormalization", kNnqDomain))
      node.attributes = nodes.at(node.name)->attributes;
  }
  return to;
}

}  // namespace

Graph calibrate_graph(const Graph& graph, const Samples& samples, const Preprocessing& preprocessing,
                      std::int64_t images, std::uint64_t seed) {
  NNQ_CHECK(count_of(samples) > 0 && images > 0, "calibration needs at least one image", samples.source);
  std::vector<std::int64_t> chosen = Random(seed, "calibration").permutation(count_of(samples));
  chosen.resize(static_cast<std::size_t>(std::min(images, count_of(samples))));
  std::vector<at::Tensor> batches;
  for (std::size_t begin = 0; begin < chosen.size(); begin += kCalibrationBatch) {
    const std::size_t size = std::min<std::size_t>(kCalibrationBatch, chosen.size() - begin);
    batches.push_back(to_torch(preprocessing.apply(samples, std::span(chosen).subspan(begin, size))));
  }
  Executor executor(graph, {.seed = seed});
  if (executor.keeps_magnitude()) {
    executor.calibrate(batches);
    return executor.graph();
  }
  Executor by_batch(normalising_by_batch(graph), {.seed = seed});
  by_batch.calibrate(batches);
  return with_batch_norm_of(graph, by_batch.graph());
}

Graph freeze_graph(const Graph& graph, std::uint64_t seed) {
  const bool quantized = std::any_of(graph.nodes.begin(), graph.nodes.end(),
                                     [](const Node& node) { return node.is("Quantizer", kNnqDomain); });
  return quantized ? Executor(graph, {.seed = seed}).frozen() : graph;
}

double evaluate_accuracy(const Graph& graph, const Samples& samples, const Preprocessing& preprocessing,
                         std::int64_t batch, const std::string& title, std::vector<std::int64_t>* predictions) {
  const at::NoGradGuard no_gradient;
  const std::int64_t count = count_of(samples);
  NNQ_CHECK(count > 0, "there are no samples to measure accuracy on", samples.source);
  NNQ_CHECK(graph.inputs.size() == 1 && !graph.outputs.empty(),
            "accuracy is measured on networks of one input; this one has " + std::to_string(graph.inputs.size()));
  Executor executor(graph, {});
  BatchLoader::Options options;
  options.batch = batch;
  BatchLoader loader(samples, preprocessing, options);
  loader.start(0);
  if (predictions != nullptr) predictions->clear();
  Progress progress(title, count);
  std::int64_t correct = 0;
  for (BatchLoader::Batch next; loader.next(next);) {
    const at::Tensor outputs = executor.forward({{graph.inputs[0].name, to_torch(next.images)}}, false).front();
    const at::Tensor classes = class_scores(outputs).argmax(1);
    correct += classes.eq(to_torch(next.labels)).sum().item<std::int64_t>();
    if (predictions != nullptr) {
      const auto* values = classes.data_ptr<std::int64_t>();
      predictions->insert(predictions->end(), values, values + classes.numel());
    }
    progress.advance(classes.numel());
  }
  return 100 * static_cast<double>(correct) / static_cast<double>(count);
}

Perplexity evaluate_perplexity(const Graph& graph, const Text& corpus, const std::string& title, std::int64_t limit) {
  const at::NoGradGuard no_gradient;
  const Graph carrying = carry_state(graph);
  const CarriedModel carried(carrying.inputs, carrying.outputs, carrying.metadata, carrying.name);
  Executor executor(carrying, {});
  const RunPiece run = [&](const Tensor& tokens, std::vector<Tensor>& state) {
    const std::vector<Tensor> given = carried.inputs(tokens, state);
    std::map<std::string, at::Tensor> inputs;
    for (std::size_t i = 0; i < given.size(); ++i) inputs[carrying.inputs[i].name] = to_torch(given[i]);
    std::vector<Tensor> outputs;
    for (const at::Tensor& output : executor.forward(inputs, false)) outputs.push_back(from_torch(output));
    return carried.take(outputs, state);
  };
  return measure_perplexity(corpus, limit, title, run);
}

}  // namespace nnq::train
