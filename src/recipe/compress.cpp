#include "recipe/compress.h"

#include <fmt/core.h>

#include <algorithm>

#include "recipe/wide_layers.h"

namespace nnq::recipe {
namespace {

/// Fine-tuning epochs by default: few bits need many.
std::int64_t default_epochs(int bits) {
  if (bits >= 8) return 1;
  if (bits >= 4) return 2;
  return bits >= 3 ? 3 : bits == 2 ? 4 : 6;
}

/// The longest name is the model's; weights and activations tell runs of one model apart.
std::string run_name(const CompressRequest& request) {
  std::string stem = request.model.stem().string();
  std::replace_if(
      stem.begin(), stem.end(), [](unsigned char c) { return std::isalnum(c) == 0 && c != '_' && c != '-'; }, '_');
  return fmt::format("{}_w{}a{}", stem, request.weights, request.activations);
}

int fewest_bits(const CompressRequest& request) { return std::min(request.weights, request.activations); }

/// Two or three bits: rounding alone loses too much, training has to find other weights.
bool trains_weights(const CompressRequest& request) { return fewest_bits(request) == 2 || fewest_bits(request) == 3; }

Stage quantize_stage(const CompressRequest& request) {
  Stage stage = default_stage(StageKind::quantize);
  // Sign activations need the batch normalisation behind the layer to keep their mean, and training learns faster with
  // it: it is folded away only where rounding is nearly all that happens.
  stage.fold_batch_norm = fewest_bits(request) >= 4 && request.method == "uniform";
  // Residual paths of few bits lose what the layers keep.
  stage.placement.quantize_adds = request.activations >= 4;
  const bool sign = request.activations == 1 && request.method == "uniform";
  LayerRule all{
      "*", {request.method, request.weights, {}}, {sign ? "bnn" : request.method, request.activations, {}}, {}};
  stage.placement.rules.push_back(all);
  // The first and the last layer keep 8 bits: they are small and everything depends on them.
  for (const char* layer : {"first", "last"}) {
    if (request.weights >= 8 && request.activations >= 8) break;
    LayerRule rule = all;
    rule.glob = layer;
    rule.weights = {"uniform", std::max(request.weights, 8), {}};
    rule.activations = {"uniform", 8, {}};
    stage.placement.rules.push_back(rule);
  }
  return stage;
}

bool has_batch_norm(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(),
                     [](const Node& node) { return node.is("BatchNormalization"); });
}

Stage fine_tuning(const CompressRequest& request, const Graph& graph, std::int64_t epochs) {
  Stage stage = default_stage(StageKind::train);
  stage.if_drop_above = 0.8 * request.max_drop;  // the test set may be a little less kind than the held-out images
  stage.train.epochs = epochs;
  const int bits = fewest_bits(request);
  stage.train.optimizer.kind = "adam";
  stage.train.optimizer.learning_rate = bits >= 4 ? 2e-4 : bits >= 2 ? 1e-3 : 2e-3;
  if (trains_weights(request) && has_batch_norm(graph)) {  // without it steps of one size diverge
    stage.train.batch = 64;
    stage.train.optimizer.kind = "sgd";
    stage.train.optimizer.learning_rate = 0.005;
    stage.train.optimizer.nesterov = true;
    stage.train.optimizer.weight_decay = 1e-4;
  }
  stage.train.schedule.kind = "cosine";
  // What few epochs lack in time the float network's own scores give: on CIFAR-10's ResNet-20 at two bits one epoch
  // with them ends where four without did.
  stage.teacher = "float";
  stage.train.distillation.weight = 0.9;
  stage.train.distillation.temperature = 4;
  return stage;
}

/// Held-out images that decide about fine-tuning: 2000, or a fifth of a small training set.
std::int64_t held_out(const std::string& data) {
  return std::min<std::int64_t>(2000, load_dataset(data, Split::train).images.shape()[0] / 5);
}

}  // namespace

Recipe recipe_of(const CompressRequest& request, const Graph& graph) {
  Recipe recipe;
  recipe.name = run_name(request);
  recipe.data = request.data;
  recipe.file = request.model.string();
  recipe.validation = held_out(request.data);
  recipe.max_drop = request.max_drop;
  recipe.stages.push_back(quantize_stage(request));
  std::vector<LayerRule>& rules = recipe.stages.back().placement.rules;
  for (LayerRule& rule : rules_of_wide_layers(graph, rules)) rules.push_back(std::move(rule));
  recipe.stages.push_back(default_stage(StageKind::calibrate));
  if (request.activations > 1 && request.method == "uniform")
    recipe.stages.push_back(default_stage(StageKind::correct_biases));
  const std::int64_t epochs = request.epochs ? *request.epochs : default_epochs(fewest_bits(request));
  if (epochs > 0) recipe.stages.push_back(fine_tuning(request, graph, epochs));
  return recipe;
}

}  // namespace nnq::recipe
