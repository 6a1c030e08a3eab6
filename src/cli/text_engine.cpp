#include "cli/text_engine.h"

#include <algorithm>
#include <functional>
#include <thread>

#include "data/carried_model.h"
#include "nnq/error.h"
#include "nnq/passes.h"
#include "nnq/program.h"
#include "nnq/recurrent.h"

namespace nnq::cli {
namespace {

using RunAll = std::function<std::vector<Tensor>(const std::vector<Tensor>& inputs)>;

/// The model on an engine that takes all inputs.
RunAll runner(const std::string& engine, const std::shared_ptr<const LoadedModel>& model, int threads) {
  if (engine == "program") {
    const int used = threads > 0 ? threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    std::shared_ptr<const Model> deployed = model->deployed();
    std::shared_ptr<Session> session = make_session(deployed, used, model->file);
    return [deployed, session, file = model->file](const std::vector<Tensor>& inputs) {
      std::vector<Tensor> outputs;
      throw_if_error(session->run(inputs, outputs), file);
      return outputs;
    };
  }
  if (model->packed) {
    return [model](const std::vector<Tensor>& inputs) {
      std::vector<Tensor> outputs;
      throw_if_error(interpret_program(model->packed->program(), inputs, outputs), model->file);
      return outputs;
    };
  }
  return [model](const std::vector<Tensor>& inputs) {
    std::map<std::string, Tensor> named;
    for (std::size_t i = 0; i < inputs.size(); ++i) named[model->graph.inputs[i].name] = inputs[i];
    return interpret(model->graph, named);
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

Text text_for(const LoadedModel& model, const std::string& data, Split split) {
  const auto it = model.metadata().find("nnq.vocabulary");
  return it == model.metadata().end() ? load_text(data, split)
                                      : load_text(data, split, vocabulary_from_text(it->second));
}

std::string text_engine(const std::string& kind, const LoadedModel& model) {
  if (kind == "auto" || kind == "program") return "program";
  if (kind == "interpreter") return kind;
  if (kind == "graph") return model.packed ? "program" : "interpreter";
  throw Error("text does not run on engine '" + kind + "'", {}, "known: auto, graph, program, interpreter");
}

RunPiece text_runner(const std::string& kind, const LoadedModel& given, int threads) {
  const auto model = std::make_shared<LoadedModel>(given);
  const std::string engine = text_engine(kind, given);
  if (!model->packed) model->graph = carry_state(std::move(model->graph));
  if (!model->packed && engine == "interpreter") model->graph = fold_constants(std::move(model->graph));  // once
  return [carried = carried_model(*model), run = runner(engine, model, threads)](const Tensor& tokens,
                                                                                 std::vector<Tensor>& state) {
    return carried.take(run(carried.inputs(tokens, state)), state);
  };
}

Perplexity perplexity(const std::string& kind, const LoadedModel& model, const Text& text, std::int64_t limit,
                      int threads) {
  return measure_perplexity(text, limit, "perplexity", text_runner(kind, model, threads));
}

}  // namespace nnq::cli
