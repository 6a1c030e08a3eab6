// Language models on the engines: text instead of images, state carried from piece to piece.
#include "cli/engine.h"
#include "cli/training.h"
#include "data/carried_model.h"
#include "nnq/error.h"
#include "nnq/passes.h"
#include "nnq/program.h"

namespace nnq::cli {
namespace {

using RunAll = std::function<std::vector<Tensor>(const std::vector<Tensor>& inputs)>;

/// The model on an engine that takes all inputs.
RunAll runner(const std::string& engine, const LoadedModel& model, int threads) {
  if (engine == "program") {
    std::shared_ptr<const Model> deployed = model.deployed();
    std::shared_ptr<Session> session = make_session(deployed, threads, model.file);
    return [deployed, session, file = model.file](const std::vector<Tensor>& inputs) {
      std::vector<Tensor> outputs;
      throw_if_error(session->run(inputs, outputs), file);
      return outputs;
    };
  }
  if (model.packed) {
    return [&model](const std::vector<Tensor>& inputs) {
      std::vector<Tensor> outputs;
      throw_if_error(interpret_program(model.packed->program(), inputs, outputs), model.file);
      return outputs;
    };
  }
  return [&model](const std::vector<Tensor>& inputs) {
    std::map<std::string, Tensor> named;
    for (std::size_t i = 0; i < inputs.size(); ++i) named[model.graph.inputs[i].name] = inputs[i];
    return interpret(model.graph, named);
  };
}

CarriedModel carried_model(const LoadedModel& model) {
  std::vector<GraphInput> inputs;
  for (const ModelPort& port : model.inputs()) inputs.push_back({port.name, port.type});
  std::vector<std::string> outputs = model.graph.outputs;
  if (model.packed)
    for (const ModelPort& port : model.packed->outputs()) outputs.push_back(port.name);
  return {std::move(inputs), std::move(outputs), model.metadata(), model.file};
}

}  // namespace

Corpus text_for(const LoadedModel& model, const std::string& data, Split split) {
  const auto it = model.metadata().find("nnq.vocabulary");
  return it == model.metadata().end() ? load_text(data, split)
                                      : load_text(data, split, vocabulary_from_text(it->second));
}

Perplexity perplexity(const std::string& kind, const LoadedModel& given, const Corpus& text, std::int64_t limit,
                      int threads) {
  LoadedModel model = given;
  if (!model.packed) model.graph = carry_state(std::move(model.graph));
  const std::string engine = engine_for(kind, model);
  const std::string title = "perplexity";
  if (engine == "torch") return training().perplexity(model.graph, text, limit, threads);
  const CarriedModel carried = carried_model(model);
  const RunAll run = runner(engine, model, threads);
  return measure_perplexity(text, limit, title, [&](const Tensor& tokens, std::vector<Tensor>& state) {
    return carried.take(run(carried.inputs(tokens, state)), state);
  });
}

}  // namespace nnq::cli
