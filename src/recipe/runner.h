// Runs a recipe: model and data in, stages in order, deployment and the final measurement.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "nnq/run_store.h"
#include "nnq/train_api.h"
#include "recipe/recipe.h"
#include "recipe/run_directory.h"
#include "train/task.h"

namespace nnq::recipe {

/// What the stages work on. Stages read and replace `graph`; everything else is set up once.
struct RunState {
  RunState(const Recipe& r, RunDirectory& d, RunStore& s) : recipe(r), directory(d), store(s) {}

  const Recipe& recipe;
  RunDirectory& directory;
  RunStore& store;
  std::int64_t run_id = 0;
  bool resume = false;
  std::size_t stage = 0;  // number of the stage that runs

  Samples train, validation;  // validation is empty without a held-out slice
  Preprocessing preprocessing;
  bool text = false;                 // the data are a corpus: the next two instead of the samples above
  Text text_train, text_validation;  // likewise
  Graph graph;                       // float, or training form with quantizers
  Graph reference;       // the float network before it was quantized (or as it is while nothing is quantized)
  bool trained = false;  // the float network came from a file or was trained: its accuracy means something
  bool quantized = false;
  std::optional<double> float_value, float_validation;  // the metric on the test and on the validation split
  bool interrupted = false;                             // a signal came; checkpoints are written

  bool has_validation() const {
    return text ? !text_validation.tokens.empty() : validation.images.defined() && validation.images.shape()[0] > 0;
  }
};

/// Model, data and normalisation of a recipe. Throws nnq::Error.
void load_inputs(RunState& state);
/// What the trainer learns from; refers to the state.
std::unique_ptr<train::Task> make_task(const RunState& state);
/// The test split of a corpus in the run's vocabulary.
Text test_text(const RunState& state);
/// How much worse `value` of the metric is than `reference`: points of accuracy, percent of perplexity.
double drop_of(const RunState& state, double reference, double value);
/// Runs stage `stage`; throws nnq::Error naming it.
void run_stage(RunState& state, const Stage& stage);
/// Places quantizers by a stage's rules.
void quantize_stage(RunState& state, const Stage& stage);
/// Throws the nnq::Error that a quantize or set_bits stage would meet in this network (a rule that matches no layer, a
/// recurrent state that cannot be quantized, bits that a method does not serve), before the stages in front of it have
/// trained for hours. Stages behind a factorize stage are not looked at.
void check_placement(const Graph& graph, const std::vector<Stage>& stages);
/// Freezes, lowers, writes model.onnx and model.nnq, and measures the packed model on the whole test split.
void deploy(RunState& state, RunResult& result, ResultDetails& details);

/// The run as a whole. `folder` empty: runs/<name>-<n>.
RunResult run_recipe(const Recipe& recipe, const std::filesystem::path& folder, bool resume, int threads,
                     const std::string& command);

}  // namespace nnq::recipe
