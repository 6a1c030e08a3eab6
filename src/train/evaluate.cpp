// A graph on LibTorch without training: calibration, freezing, accuracy.
#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "core/progress.h"
#include "core/random.h"
#include "nnq/error.h"
#include "train/executor.h"
#include "train/loss.h"
#include "train/trainer.h"

namespace nnq::train {
namespace {

constexpr std::int64_t kCalibrationBatch = 100;

std::int64_t count_of(const Samples& samples) { return samples.images.defined() ? samples.images.shape()[0] : 0; }

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
  executor.calibrate(batches);
  return executor.graph();
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

}  // namespace nnq::train
