// What each kind of stage does to the network.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "methods/compress/factorize.h"
#include "methods/post_training.h"
#include "methods/redistribute.h"
#include "nnq/error.h"
#include "nnq/lower.h"
#include "nnq/onnx.h"
#include "nnq/passes.h"
#include "nnq/program.h"
#include "nnq/recurrent.h"
#include "recipe/float_model.h"
#include "recipe/runner.h"
#include "train/batch_norm_statistics.h"
#include "train/change_bits.h"
#include "train/run_graph.h"
#include "train/teacher.h"

namespace nnq::recipe {
namespace {

using nlohmann::ordered_json;

constexpr std::int64_t evaluation_batch = 250;

std::filesystem::path checkpoints(const RunState& state) {
  return state.directory.file("checkpoints") / fmt::format("stage-{}", state.stage);
}

double validation_value(const RunState& state, const Graph& graph, const std::string& title) {
  if (state.text) return train::evaluate_perplexity(graph, state.text_validation, title).value;
  return train::evaluate_accuracy(graph, state.validation, state.preprocessing, evaluation_batch, title);
}

/// What the network has lost on the validation set so far against the float one (drop_of).
double validation_drop(RunState& state) {
  NNQ_CHECK(state.has_validation(), "if_drop_above needs a held-out slice", "recipe", "set validation above 0");
  if (!state.float_validation) state.float_validation = validation_value(state, state.reference, "float, validation");
  return drop_of(state, *state.float_validation, validation_value(state, state.graph, "quantized, validation"));
}

/// The network that teaches a train stage; its hash goes into the run's record. Null without one.
std::shared_ptr<const Graph> teacher_of(RunState& state, const Stage& stage) {
  if (stage.teacher.empty()) return nullptr;
  Graph graph;
  if (stage.teacher == "float") {
    NNQ_CHECK(state.quantized, "a network that is not quantized cannot be its own teacher", "teacher = \"float\"",
              "name an ONNX model, or put a quantize stage before this one");
    graph = state.reference;
  } else {
    graph = import_float_model(stage.teacher);
    const auto given = Preprocessing::from_metadata(graph.metadata).to_metadata();
    const auto ours = state.preprocessing.to_metadata();
    for (const auto& [key, value] : given) {
      const auto it = graph.metadata.contains(key) ? ours.find(key) : ours.end();
      NNQ_CHECK(
          it == ours.end() || it->second == value,
          "was trained with " + key + " = " + value + ", this run's input has " + (it == ours.end() ? "" : it->second),
          "teacher " + stage.teacher, "give the recipe the teacher's [input]");
    }
  }
  state.directory.add_record(state.stage,
                             {{"event", "teacher"}, {"teacher", stage.teacher}, {"hash", train::network_hash(graph)}});
  return std::make_shared<const Graph>(std::move(graph));
}

void train_stage(RunState& state, const Stage& stage) {
  if (stage.if_drop_above >= 0) {
    const double drop = validation_drop(state);
    const bool needed = drop > stage.if_drop_above;
    fmt::print(stderr, "{:+.2f} {}: {}\n", -drop,
               state.text ? "percent on the validation text" : "points on the held-out images",
               needed ? "fine-tuning" : "no fine-tuning needed");
    state.directory.add_record(state.stage, {{"event", "decision"}, {"drop", drop}, {"fine_tuning", needed}});
    if (!needed) return;
  }
  train::TrainOptions options = stage.train;
  options.seed = state.recipe.seed;
  options.augmentation = state.recipe.augmentation;
  options.distillation.teacher = teacher_of(state, stage);
  const bool likelihood = stage.teacher.empty();  // a text's loss is the logarithm of its perplexity
  const bool resume = state.resume && std::filesystem::exists(checkpoints(state));
  if (stage.dropout > 0) state.graph = add_dropout(std::move(state.graph), static_cast<float>(stage.dropout));
  const train::TrainResult result = train::train_graph(
      state.graph, *make_task(state), options, checkpoints(state), resume, [&](const train::EpochReport& report) {
        state.directory.add_epoch(state.stage, report, likelihood);
        std::map<std::string, double> metrics = {
            {"loss", report.loss}, {"learning_rate", report.learning_rate}, {"seconds", report.seconds}};
        if (report.train_accuracy >= 0) metrics["train_accuracy"] = report.train_accuracy;
        if (report.train_accuracy < 0 && likelihood) metrics["train_perplexity"] = std::exp(report.loss);
        if (report.validation >= 0) metrics["validation"] = report.validation;
        state.store.add_epoch(state.run_id, static_cast<std::int64_t>(state.stage), report.epoch, metrics);
      });
  state.graph = stage.dropout > 0 ? remove_dropout(result.graph) : result.graph;
  state.interrupted = result.interrupted;
  if (state.quantized) return;
  state.trained = true;
  state.reference = state.graph;
}

void set_bits_stage(RunState& state, const Stage& stage) {
  NNQ_CHECK(state.quantized, "there are no quantizers to set the bits of", "set_bits",
            "put a quantize stage before it");
  state.graph = train::change_bits(std::move(state.graph), stage.bits, state.recipe.seed);
}

void factorize_stage(RunState& state, const Stage&) {
  std::vector<methods::FactorizedLayer> layers;
  state.graph = methods::factorize_layers(std::move(state.graph), layers);
  for (const methods::FactorizedLayer& layer : layers) {
    fmt::print(stderr, "{}: {} of {} weights{}\n", layer.layer, layer.weights_after, layer.weights_before,
               layer.weights_after == layer.weights_before ? ", stays one layer" : "");
    state.directory.add_record(state.stage, {{"event", "factorize"},
                                             {"layer", layer.layer},
                                             {"weights_before", layer.weights_before},
                                             {"weights_after", layer.weights_after}});
  }
}

void mine_interactions_stage(RunState& state, const Stage& stage) {
  NNQ_CHECK(state.quantized, "interactions correct the sums of binary layers", "mine_interactions",
            "put a quantize stage and training before it");
  const methods::MiningResult mined =
      methods::mine_interactions(state.graph, state.train, state.preprocessing, stage.mining, state.recipe.seed);
  std::size_t edges = 0;
  for (const methods::LayerInteractions& layer : mined.layers) {
    edges += layer.graph.edges().size();
    for (const methods::Interaction& e : layer.graph.edges())
      state.directory.add_record(state.stage, {{"event", "interaction"},
                                               {"layer", layer.layer},
                                               {"teacher", e.teacher},
                                               {"student", e.student},
                                               {"influence", e.influence},
                                               {"unit", layer.unit}});
  }
  fmt::print(stderr, "{} interactions; loss on the judging images {:.4f}, was {:.4f}\n", edges, mined.loss_after,
             mined.loss_before);
  state.directory.add_record(state.stage, {{"event", "mine_interactions"},
                                           {"edges", edges},
                                           {"loss_before", mined.loss_before},
                                           {"loss_after", mined.loss_after},
                                           {"accepted", mined.accepted},
                                           {"rejected", mined.rejected}});
  state.graph = methods::with_interactions(std::move(state.graph), mined.layers);
}

void calibrate_stage(RunState& state, const Stage& stage) {
  NNQ_CHECK(!state.text, "language models are not calibrated: their quantizers look at the values themselves",
            "calibrate", "leave the stage out");
  NNQ_CHECK(state.quantized, "there is nothing to calibrate", "calibrate", "put a quantize stage before it");
  state.graph = train::calibrate_graph(state.graph, state.train, state.preprocessing, stage.images, state.recipe.seed);
}

void equalize_stage(RunState& state, const Stage&) {
  NNQ_CHECK(!state.quantized, "equalisation works on the float network", "equalize", "put it before quantize");
  state.graph = methods::equalize_layers(fold_batch_norm(std::move(state.graph)));
}

void correct_biases_stage(RunState& state, const Stage& stage) {
  NNQ_CHECK(!state.text, "biases are corrected on images only", "correct_biases", "leave the stage out");
  NNQ_CHECK(state.quantized, "there is nothing to correct", "correct_biases", "put it behind calibrate");
  std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(stage.images, state.train.images.shape()[0])));
  std::iota(indices.begin(), indices.end(), 0);
  const Tensor batch = state.preprocessing.apply(state.train, indices);
  state.graph = methods::correct_biases(
      state.graph, state.reference,
      [&](const Graph& graph, const methods::Observe& observe) { train::run_graph(graph, batch, observe); });
}

void reestimate_batch_norm_stage(RunState& state, const Stage& stage) {
  NNQ_CHECK(!state.text, "batch statistics are measured on images", "reestimate_batch_norm", "leave the stage out");
  state.graph = train::reestimate_batch_norm(state.graph, state.train, state.preprocessing,
                                             {.batches = stage.batches,
                                              .batch = stage.train.batch,
                                              .seed = state.recipe.seed,
                                              .augmentation = state.recipe.augmentation});
  if (!state.quantized) state.reference = state.graph;
}

void redistribute_points_stage(RunState& state, const Stage& stage) {
  NNQ_CHECK(!state.text, "gradients are measured on images", "redistribute_points", "leave the stage out");
  NNQ_CHECK(state.quantized, "there are no quantizers yet", "redistribute_points", "put a quantize stage before it");
  std::vector<methods::TensorPoints> tensors;
  state.graph = methods::redistribute_points(std::move(state.graph), state.reference, state.train, state.preprocessing,
                                             stage.batches, stage.train.batch, state.recipe.seed, tensors);
  for (const methods::TensorPoints& tensor : tensors) {
    fmt::print(stderr, "{}: {} points (gradient norm {:.4g})\n", tensor.weight, tensor.points, tensor.norm);
    state.directory.add_record(state.stage, {{"event", "redistribute_points"},
                                             {"weight", tensor.weight},
                                             {"gradient_norm", tensor.norm},
                                             {"points", tensor.points}});
  }
}

void evaluate_text(RunState& state, const Stage& stage) {
  const Text text = stage.split == "test"    ? test_text(state)
                    : stage.split == "train" ? state.text_train
                                             : state.text_validation;
  const double value = train::evaluate_perplexity(state.graph, text, "evaluating on " + stage.split).value;
  const std::size_t count = text.tokens.size() - 1;
  fmt::print(stderr, "{}: perplexity {:.3f} of {} tokens\n", stage.split, value, count);
  state.directory.add_record(state.stage,
                             {{"event", "evaluate"}, {"split", stage.split}, {"perplexity", value}, {"count", count}});
}

void evaluate_stage(RunState& state, const Stage& stage) {
  NNQ_CHECK(stage.split != "validation" || state.has_validation(), "there is no held-out slice to evaluate on",
            "evaluate", "set validation above 0");
  if (state.text) return evaluate_text(state, stage);
  const Samples test = stage.split == "test" ? load_dataset(state.recipe.data, Split::test) : Samples();
  const Samples& samples = stage.split == "test" ? test : stage.split == "train" ? state.train : state.validation;
  const double value = train::evaluate_accuracy(state.graph, samples, state.preprocessing, evaluation_batch,
                                                "evaluating on " + stage.split);
  fmt::print(stderr, "{}: accuracy {:.2f} % of {} images\n", stage.split, value, samples.images.shape()[0]);
  state.directory.add_record(
      state.stage,
      {{"event", "evaluate"}, {"split", stage.split}, {"accuracy", value}, {"count", samples.images.shape()[0]}});
}

void export_stage(RunState& state, const Stage& stage) {
  const Graph frozen = train::freeze_graph(state.graph, state.recipe.seed);
  const std::string file = stage.file.empty() ? "model.onnx" : stage.file;
  if (file.ends_with(".nnq"))
    write_program(lower(frozen), state.directory.file(file));
  else
    export_onnx(frozen, state.directory.file(file));
  if (stage.file.empty()) write_program(lower(frozen), state.directory.file("model.nnq"));
}

}  // namespace

void run_stage(RunState& state, const Stage& stage) {
  switch (stage.kind) {
    case StageKind::train:
      return train_stage(state, stage);
    case StageKind::calibrate:
      return calibrate_stage(state, stage);
    case StageKind::quantize:
      return quantize_stage(state, stage);
    case StageKind::set_bits:
      return set_bits_stage(state, stage);
    case StageKind::factorize:
      return factorize_stage(state, stage);
    case StageKind::mine_interactions:
      return mine_interactions_stage(state, stage);
    case StageKind::equalize:
      return equalize_stage(state, stage);
    case StageKind::correct_biases:
      return correct_biases_stage(state, stage);
    case StageKind::reestimate_batch_norm:
      return reestimate_batch_norm_stage(state, stage);
    case StageKind::redistribute_points:
      return redistribute_points_stage(state, stage);
    case StageKind::evaluate:
      return evaluate_stage(state, stage);
    case StageKind::export_model:
      return export_stage(state, stage);
  }
}

}  // namespace nnq::recipe
