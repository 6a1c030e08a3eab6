#include "cli/engine.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "cli/training.h"
#include "core/progress.h"
#include "nnq/error.h"
#include "nnq/program.h"

namespace nnq::cli {
namespace {

constexpr std::int64_t preferred_batch = 100;

/// Values of a graph that are made of constants only, e.g. unpacked weights; observers do not want them.
std::set<std::string> constant_values(const Graph& graph) {
  std::set<std::string> constants;
  for (const auto& [name, tensor] : graph.initializers) constants.insert(name);
  for (const Node& node : graph.nodes) {
    const bool constant = std::all_of(node.inputs.begin(), node.inputs.end(), [&](const std::string& input) {
      return input.empty() || constants.contains(input);
    });
    if (constant) constants.insert(node.outputs.begin(), node.outputs.end());
  }
  return constants;
}

/// Values that hold codes (from a quantizer on, whatever moves them) or sums of products of them, up to the Affine or
/// Levels that makes them real.
std::map<std::string, Holds> integer_values(const Graph& graph) {
  static const std::set<std::string> quantizers = {"Quantize", "Sign", "Bucketize"};
  static const std::set<std::string> layers = {"Conv", "ConvTranspose", "Gemm", "MatMul"};
  static const std::set<std::string> movers = {"MaxPool", "Flatten", "Reshape",  "Transpose", "Concat",
                                               "Squeeze", "Slice",   "Identity", "Pad",       "Unsqueeze"};
  std::map<std::string, Holds> integers;
  for (const Node& node : graph.nodes) {
    const auto from = node.inputs.empty() ? integers.end() : integers.find(node.inputs[0]);
    Holds made = Holds::real;
    if (node.domain == kNnqDomain && quantizers.contains(node.op)) made = Holds::codes;
    if (from != integers.end() && node.domain.empty() && layers.contains(node.op)) made = Holds::sums;
    if (from != integers.end() && node.domain.empty() && movers.contains(node.op)) made = from->second;
    if (made == Holds::real) continue;
    for (const std::string& output : node.outputs) integers[output] = made;
  }
  return integers;
}

/// The observer of graph values behind `observe`, without constants.
std::function<void(const std::string&, const Tensor&)> graph_observer(const Graph& graph, const Observer& observe) {
  if (!observe) return {};
  return [&observe, constants = constant_values(graph), integers = integer_values(graph)](const std::string& name,
                                                                                          const Tensor& value) {
    if (constants.contains(name)) return;
    const auto integer = integers.find(name);
    observe(name, value, integer == integers.end() ? Holds::real : integer->second);
  };
}

std::vector<Tensor> run_interpreter(const Program& program, const Tensor& input, const Observer& observe,
                                    const std::string& file) {
  std::function<void(std::int32_t, const Tensor&)> see;
  if (observe) {
    see = [&](std::int32_t value, const Tensor& tensor) {
      const ProgramValue& described = program.values[static_cast<std::size_t>(value)];
      observe(described.name, tensor,
              described.kind == ValueKind::tensor  ? Holds::real
              : described.kind == ValueKind::codes ? Holds::codes
                                                   : Holds::sums);
    };
  }
  std::vector<Tensor> outputs;
  throw_if_error(interpret_program(program, {&input, 1}, outputs, see), file);
  return outputs;
}

class TorchEngine final : public Engine {
 public:
  TorchEngine(const LoadedModel& model, int threads) : model_(model), threads_(threads) {}
  std::string name() const override { return "torch"; }
  std::vector<Tensor> run(const Tensor& input, const Observer& observe) override {
    return training().evaluate(model_.graph, input, threads_, graph_observer(model_.graph, observe));
  }

 private:
  const LoadedModel& model_;
  int threads_;
};

class InterpreterEngine final : public Engine {
 public:
  explicit InterpreterEngine(const LoadedModel& model) : model_(model) {}
  std::string name() const override { return "interpreter"; }
  std::vector<Tensor> run(const Tensor& input, const Observer& observe) override {
    if (model_.packed) return run_interpreter(model_.packed->program(), input, observe, model_.file);
    return interpret(model_.graph, {{model_.graph.inputs[0].name, input}}, graph_observer(model_.graph, observe));
  }

 private:
  const LoadedModel& model_;
};

class ProgramEngine final : public Engine {
 public:
  ProgramEngine(const LoadedModel& model, int threads)
      : file_(model.file), deployed_(model.deployed()), session_(make_session(deployed_, threads, model.file)) {}
  std::string name() const override { return "program"; }
  std::vector<Tensor> run(const Tensor& input, const Observer& observe) override {
    if (observe) return run_interpreter(deployed_->program(), input, observe, file_);
    throw_if_error(session_->run({&input, 1}, outputs_), file_);
    return outputs_;
  }

 private:
  std::string file_;
  std::shared_ptr<const Model> deployed_;
  std::unique_ptr<Session> session_;
  std::vector<Tensor> outputs_;
};

bool training_is_there() {
  try {
    training();
    return true;
  } catch (const Error&) {
    return false;
  }
}

const ModelPort only_input(const LoadedModel& model) {
  std::vector<ModelPort> inputs = model.inputs();
  if (inputs.size() != 1)
    throw Error("has " + std::to_string(inputs.size()) + " inputs; images go into models of one", model.file,
                "nnq run takes any inputs");
  if (inputs[0].type.dtype != DType::f32)
    throw Error("its input is " + inputs[0].type.to_string() + ", images are float32", model.file);
  return inputs[0];
}

}  // namespace

std::unique_ptr<Engine> make_engine(const std::string& kind, const LoadedModel& model, int threads) {
  const bool packed = model.packed != nullptr;
  const int used = threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::string chosen = kind;
  if (kind == "auto") chosen = packed || !training_is_there() ? "program" : "torch";
  if (kind == "graph") chosen = packed ? "program" : training_is_there() ? "torch" : "interpreter";
  if (chosen == "torch" && packed)
    throw Error("a packed model does not run on LibTorch", model.file, "use --engine program or interpreter");
  if (chosen == "torch") return std::make_unique<TorchEngine>(model, used);
  if (chosen == "interpreter") return std::make_unique<InterpreterEngine>(model);
  if (chosen == "program") return std::make_unique<ProgramEngine>(model, used);
  throw Error("there is no engine '" + kind + "'", {}, "known: auto, graph, torch, program, interpreter");
}

Tensor make_batch(const LoadedModel& model, const Samples& samples, const Preprocessing& preprocessing,
                  std::span<const std::int64_t> indices) {
  const ModelPort port = only_input(model);
  Tensor batch = preprocessing.apply(samples, indices);
  if (!port.type.ranked) return batch;
  const SymbolicShape& wanted = port.type.shape;
  const std::int64_t volume = batch.shape()[0] > 0 ? batch.count() / batch.shape()[0] : 0;
  if (wanted.size() == 2 && batch.rank() > 2 && (!wanted[1].known() || wanted[1].value == volume))
    batch = batch.reshaped({batch.shape()[0], volume});
  bool fits = static_cast<std::int64_t>(wanted.size()) == batch.rank();
  for (std::size_t i = 1; fits && i < wanted.size(); ++i)
    fits = !wanted[i].known() || wanted[i].value == batch.shape()[i];
  if (!fits) {
    const Shape sample(samples.images.shape().begin() + 1, samples.images.shape().end());
    throw Error("the model expects " + port.type.to_string() + ", the samples are " + to_string(sample), model.file,
                "samples came from " + samples.source);
  }
  return batch;
}

std::vector<std::int64_t> argmax_rows(const Tensor& output, const std::string& where) {
  if (output.rank() < 1 || output.dtype() != DType::f32 || output.shape()[0] < 1 ||
      (output.rank() >= 2 && output.count() != output.shape()[0] * output.shape()[1]))
    throw Error(
        std::string("its output ") + name_of(output.dtype()) + to_string(output.shape()) + " is not one score a class",
        where, "accuracy needs an output [N, classes]");
  const std::int64_t rows = output.shape()[0], classes = output.count() / rows;
  std::vector<std::int64_t> best;
  const float* at = output.as<float>();
  for (std::int64_t r = 0; r < rows; ++r, at += classes) best.push_back(std::max_element(at, at + classes) - at);
  return best;
}

std::vector<std::int64_t> predict(Engine& engine, const LoadedModel& model, const Samples& samples,
                                  const Preprocessing& preprocessing, std::int64_t count) {
  const ModelPort port = only_input(model);
  const bool fixed = port.type.ranked && !port.type.shape.empty() && port.type.shape[0].known();
  const std::int64_t batch = fixed ? port.type.shape[0].value : preferred_batch;
  NNQ_CHECK(batch > 0, "its batch dimension is 0", model.file);
  std::vector<std::int64_t> predictions;
  Progress progress(engine.name() + " " + model.file, count);
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t n = std::min(batch, count - first);
    // A model with a fixed batch gets a full last one; the surplus predictions are dropped.
    std::vector<std::int64_t> indices(static_cast<std::size_t>(fixed ? batch : n));
    for (std::size_t i = 0; i < indices.size(); ++i)
      indices[i] = std::min(first + static_cast<std::int64_t>(i), count - 1);
    const std::vector<Tensor> outputs = engine.run(make_batch(model, samples, preprocessing, indices));
    NNQ_CHECK(!outputs.empty(), "has no outputs", model.file);
    const std::vector<std::int64_t> rows = argmax_rows(outputs[0], model.file);
    NNQ_CHECK(rows.size() == indices.size(),
              "gives " + std::to_string(rows.size()) + " rows for a batch of " + std::to_string(indices.size()),
              model.file);
    const std::int64_t classes = outputs[0].count() / outputs[0].shape()[0];
    if (classes < static_cast<std::int64_t>(samples.classes.size()))
      throw Error(
          "scores " + std::to_string(classes) + " classes, the data have " + std::to_string(samples.classes.size()),
          model.file, "is this the data set it was trained on?");
    predictions.insert(predictions.end(), rows.begin(), rows.begin() + n);
    progress.advance(n);
  }
  return predictions;
}

double accuracy(const std::vector<std::int64_t>& predictions, const Samples& samples) {
  const auto labels = samples.labels.values<std::int64_t>();
  std::int64_t right = 0;
  for (std::size_t i = 0; i < predictions.size(); ++i) right += predictions[i] == labels[i] ? 1 : 0;
  return 100.0 * static_cast<double>(right) / static_cast<double>(std::max<std::size_t>(predictions.size(), 1));
}

double agreement(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  std::int64_t same = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) same += a[i] == b[i] ? 1 : 0;
  return 100.0 * static_cast<double>(same) / static_cast<double>(std::max<std::size_t>(a.size(), 1));
}

std::int64_t sample_count(const Samples& samples, std::int64_t limit) {
  const std::int64_t all = samples.images.shape()[0];
  return limit > 0 ? std::min(limit, all) : all;
}

Split parse_split(const std::string& text) {
  if (text == "train") return Split::train;
  if (text == "test") return Split::test;
  throw Error("there is no split '" + text + "'", "--split", "known: train, test");
}

}  // namespace nnq::cli
