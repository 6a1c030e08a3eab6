// Where a run begins: the network, the data, and how pixels become input.
#include <fmt/core.h>

#include <cstdlib>

#include "data/normalisation.h"
#include "nnq/error.h"
#include "nnq/recurrent.h"
#include "nnq/zoo.h"
#include "recipe/float_model.h"
#include "recipe/runner.h"
#include "train/run_graph.h"

namespace nnq::recipe {
namespace {

void keep_first(Samples& samples, std::int64_t count) {
  if (count <= 0 || count >= samples.images.shape()[0]) return;
  // A random part, not the first images: files are not always shuffled.
  Samples part = split_off(samples, count, 17);
  samples = std::move(part);
}

/// Joined with line breaks, as metadata nnq.labels.
std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : "\n") + name;
  return text;
}

bool is_default(const Preprocessing& p) { return p.mean == std::vector<float>{0} && p.std == std::vector<float>{1}; }

/// Corpora in the vocabulary of the model, of the zoo's parameter, or of the recipe; the network carries its state.
void load_text_inputs(RunState& state) {
  const Recipe& recipe = state.recipe;
  std::map<std::string, std::string> parameters = recipe.parameters;
  std::int64_t words = recipe.vocabulary;
  if (recipe.file.empty() && parameters.contains("vocabulary") && words == 0)
    words = std::strtoll(parameters.at("vocabulary").c_str(), nullptr, 10);
  std::vector<std::string> vocabulary;
  if (!recipe.file.empty()) {
    state.graph = import_float_model(recipe.file);
    if (const auto it = state.graph.metadata.find("nnq.vocabulary"); it != state.graph.metadata.end())
      vocabulary = vocabulary_from_text(it->second);
  }
  state.text_train = vocabulary.empty() ? load_text(recipe.data, Split::train, words)
                                        : load_text(recipe.data, Split::train, vocabulary);
  state.directory.set_data_hash(state.text_train.hash);
  if (recipe.validation > 0)
    state.text_validation = load_text(recipe.data, Split::validation, state.text_train.vocabulary);
  if (recipe.limit > 0 && recipe.limit < static_cast<std::int64_t>(state.text_train.tokens.size()))
    state.text_train.tokens.resize(static_cast<std::size_t>(recipe.limit));
  if (recipe.file.empty()) {
    parameters["vocabulary"] = std::to_string(state.text_train.vocabulary.size());
    state.graph = build_zoo(recipe.zoo, parameters, recipe.seed);
  }
  const std::string network = recipe.file.empty() ? recipe.zoo : recipe.file;
  state.graph = carry_state(std::move(state.graph));
  NNQ_CHECK(!state.graph.inputs.empty() && state.graph.inputs[0].type.dtype == DType::i64 &&
                state.graph.inputs.size() == 1 + state_pairs(state.graph.metadata).size(),
            "is no language model: its input must be token numbers, int64 [time, batch], besides carried state",
            network, "e.g. zoo = \"lstm_lm\"");
  state.graph.metadata["nnq.vocabulary"] = vocabulary_text(state.text_train.vocabulary);
}

/// What every model says of its origin.
void set_origin(RunState& state) {
  state.graph.metadata["nnq.data"] = state.recipe.data;
  state.graph.metadata["nnq.recipe"] = recipe_hash(state.recipe);
  state.reference = state.graph;
}

}  // namespace

void load_inputs(RunState& state) {
  const Recipe& recipe = state.recipe;
  const bool from_file = !recipe.file.empty();
  state.text = is_text(recipe.data);
  if (state.text) {
    state.trained = from_file;
    load_text_inputs(state);
    check_placement(state.graph, recipe.stages);
    return set_origin(state);
  }
  state.graph = from_file ? import_float_model(recipe.file) : build_zoo(recipe.zoo, recipe.parameters, recipe.seed);
  NNQ_CHECK(state.graph.inputs.size() == 1,
            fmt::format("the network has {} inputs, expected one image input", state.graph.inputs.size()),
            from_file ? recipe.file : recipe.zoo);
  check_placement(state.graph, recipe.stages);
  state.trained = from_file;
  state.train = load_dataset(recipe.data, Split::train);
  state.directory.set_data_hash(state.train.hash);
  if (recipe.validation > 0) state.validation = split_off(state.train, recipe.validation, recipe.seed);
  keep_first(state.train, recipe.limit);

  state.preprocessing = recipe.preprocessing;
  if (is_default(recipe.preprocessing)) {
    state.preprocessing = Preprocessing::from_metadata(state.graph.metadata);
    if (from_file && !state.graph.metadata.contains("nnq.input.mean"))
      state.preprocessing =
          find_normalisation(state.has_validation() ? state.validation : state.train,
                             [&](const Tensor& input) { return train::run_graph(state.graph, input)[0]; });
  }
  const Shape& shape = state.train.images.shape();
  state.preprocessing.size.assign(shape.begin() + 1, shape.end());
  for (const auto& [key, value] : state.preprocessing.to_metadata()) state.graph.metadata[key] = value;
  state.graph.metadata["nnq.labels"] = joined(state.train.classes);
  set_origin(state);
}

std::unique_ptr<train::Task> make_task(const RunState& state) {
  if (state.text)
    return std::make_unique<train::TextTask>(state.text_train,
                                             state.has_validation() ? &state.text_validation : nullptr);
  return std::make_unique<train::ImageTask>(state.train, state.has_validation() ? &state.validation : nullptr,
                                            state.preprocessing);
}

Text test_text(const RunState& state) { return load_text(state.recipe.data, Split::test, state.text_train.vocabulary); }

double drop_of(const RunState& state, double reference, double value) {
  return state.text ? 100 * (value / reference - 1) : reference - value;
}

}  // namespace nnq::recipe
