// Where a run begins: the network, the data, and how pixels become input.
#include <fmt/core.h>

#include "data/normalisation.h"
#include "nnq/error.h"
#include "nnq/onnx.h"
#include "nnq/zoo.h"
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

}  // namespace

void load_inputs(RunState& state) {
  const Recipe& recipe = state.recipe;
  const bool from_file = !recipe.file.empty();
  state.graph = from_file ? import_onnx(recipe.file) : build_zoo(recipe.zoo, recipe.parameters, recipe.seed);
  NNQ_CHECK(state.graph.inputs.size() == 1,
            fmt::format("the network has {} inputs, expected one image input", state.graph.inputs.size()),
            from_file ? recipe.file : recipe.zoo);
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
  state.graph.metadata["nnq.data"] = recipe.data;
  state.graph.metadata["nnq.recipe"] = recipe_hash(recipe);
  state.reference = state.graph;
}

}  // namespace nnq::recipe
