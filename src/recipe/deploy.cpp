// The end of a run: what was trained becomes files, and the files are measured, not the training.
#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "core/interrupt.h"
#include "core/progress.h"
#include "data/carried_model.h"
#include "data/perplexity.h"
#include "nnq/error.h"
#include "nnq/lower.h"
#include "nnq/onnx.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "recipe/runner.h"
#include "train/threads.h"

namespace nnq::recipe {
namespace {

constexpr std::int64_t evaluation_batch = 250;

/// Classes the packed model predicts, on nnq's runtime.
std::vector<std::int64_t> packed_predictions(const std::filesystem::path& file, const Samples& samples,
                                             const Preprocessing& preprocessing) {
  std::shared_ptr<const Model> model;
  throw_if_error(Model::load(file.string(), {}, model));
  std::unique_ptr<Session> session;
  throw_if_error(Session::create(model, {.threads = train::threads()}, session), file.string());
  const ValueType& type = model->inputs()[0].type;
  const bool fixed = type.ranked && !type.shape.empty() && type.shape[0].known();
  const std::int64_t count = samples.images.shape()[0], batch = fixed ? type.shape[0].value : 32;
  std::vector<std::int64_t> predictions, indices;
  std::vector<Tensor> outputs;
  Progress progress("packed model, test images", count);
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t n = std::min(batch, count - first);
    NNQ_CHECK(!fixed || n == batch, fmt::format("{} images are no multiple of the fixed batch {}", count, batch),
              file.string());
    indices.resize(static_cast<std::size_t>(n));
    std::iota(indices.begin(), indices.end(), first);
    const std::vector<Tensor> inputs = {preprocessing.apply(samples, indices)};
    throw_if_error(session->run(inputs, outputs), file.string());
    const std::int64_t classes = outputs[0].count() / n;
    for (std::int64_t i = 0; i < n; ++i) {
      const float* row = outputs[0].as<float>() + i * classes;
      predictions.push_back(std::max_element(row, row + classes) - row);
    }
    progress.advance(n);
  }
  return predictions;
}

double percent(std::int64_t part, std::size_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

/// Perplexity of the packed model on the test split, on nnq's runtime.
Perplexity packed_perplexity(const std::filesystem::path& file, const Text& text) {
  std::shared_ptr<const Model> model;
  throw_if_error(Model::load(file.string(), {}, model));
  std::unique_ptr<Session> session;
  throw_if_error(Session::create(model, {.threads = train::threads()}, session), file.string());
  std::vector<GraphInput> inputs;
  for (const ModelPort& port : model->inputs()) inputs.push_back({port.name, port.type});
  std::vector<std::string> names;
  for (const ModelPort& port : model->outputs()) names.push_back(port.name);
  const CarriedModel carried(std::move(inputs), std::move(names), model->metadata(), file.string());
  std::vector<Tensor> outputs;
  return measure_perplexity(text, 0, "packed model, test text", [&](const Tensor& tokens, std::vector<Tensor>& state) {
    throw_if_error(session->run(carried.inputs(tokens, state), outputs), file.string());
    return carried.take(outputs, state);
  });
}

/// The metric of the float network on the test split and the bytes of its ONNX file.
void measure_float(RunState& state, const std::function<double()>& measure, RunResult& result, ResultDetails& details) {
  const bool given = !state.recipe.file.empty();
  details.float_model = given ? std::filesystem::path(state.recipe.file) : state.directory.file("float.onnx");
  result.float_bytes =
      given ? std::filesystem::file_size(state.recipe.file) : export_onnx(state.reference, details.float_model);
  if (!state.trained) return;
  state.float_value = measure();
  result.float_value = *state.float_value;
}

/// What of the result does not depend on the kind of data.
void finish(const RunState& state, RunResult& result) {
  if (state.quantized) return;
  result.float_value = result.value;
  result.float_bytes = std::filesystem::file_size(result.model);
}

void measure_text(RunState& state, RunResult& result, ResultDetails& details) {
  const Text text = test_text(state);
  result.metric = "perplexity";
  if (state.quantized)
    measure_float(
        state, [&] { return train::evaluate_perplexity(state.reference, text, "float, test text").value; }, result,
        details);
  const Perplexity packed = packed_perplexity(result.packed, text);
  result.value = packed.value;
  details.count = packed.count;
}

void measure_images(RunState& state, const Graph& frozen, RunResult& result, ResultDetails& details) {
  const Samples test = load_dataset(state.recipe.data, Split::test);
  const auto accuracy = [&](const Graph& graph, const std::string& title, std::vector<std::int64_t>* predictions) {
    return train::evaluate_accuracy(graph, test, state.preprocessing, evaluation_batch, title, predictions);
  };
  if (state.quantized)
    measure_float(
        state, [&] { return accuracy(state.reference, "float, test images", nullptr); }, result, details);
  std::vector<std::int64_t> simulated;
  accuracy(frozen, "simulation, test images", &simulated);
  const std::vector<std::int64_t> predicted = packed_predictions(result.packed, test, state.preprocessing);
  std::int64_t correct = 0, same = 0;
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    correct += predicted[i] == test.labels.as<std::int64_t>()[i] ? 1 : 0;
    same += predicted[i] == simulated[i] ? 1 : 0;
  }
  result.value = percent(correct, predicted.size());
  details.agreement = percent(same, predicted.size());
  details.count = static_cast<std::int64_t>(predicted.size());
}

}  // namespace

void deploy(RunState& state, RunResult& result, ResultDetails& details) {
  const Graph frozen = train::freeze_graph(state.graph, state.recipe.seed);
  result.model = state.directory.file("model.onnx");
  result.packed = state.directory.file("model.nnq");
  export_onnx(frozen, result.model);
  // With the quantizers inside: attacks take the method's own gradient of it, and stochastic networks still draw.
  if (state.quantized) export_onnx(state.graph, state.directory.file("training.onnx"));
  result.bytes = write_program(lower(frozen), result.packed);
  if (state.text)
    measure_text(state, result, details);
  else
    measure_images(state, frozen, result, details);
  finish(state, result);
}

}  // namespace nnq::recipe
