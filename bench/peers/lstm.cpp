// One step of recurrent layers at batch 1: 1 x 1024, 1 x 300, 2 x 200 units.
#include "agreement.h"
#include "contrib.h"
#include "core/random.h"
#include "nnq/error.h"
#include "nnq/lower.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "quantized_network.h"
#include "workloads.h"

namespace nnq::peers {
namespace {

/// `copies` times a stack of `layers` layers, one step each; a copy reads the state that the one before left and the
/// same x. copies = 0: the state goes through.
Graph steps(std::int64_t layers, std::int64_t hidden, int copies) {
  Graph graph;
  graph.opset = 17;
  const ValueType type = ValueType::of(DType::f32, {1, 1, hidden});
  graph.inputs.push_back({"x", type});
  Random random(1);
  const auto uniform = [&](const Shape& shape) {
    Tensor t(DType::f32, shape);
    const float bound = 1 / std::sqrt(static_cast<float>(hidden));
    for (float& v : t.mutable_values<float>()) v = random.uniform(-bound, bound);
    return t;
  };
  std::vector<std::string> h, c, weights;
  for (std::int64_t l = 0; l < layers; ++l) {
    const std::string n = std::to_string(l);
    h.push_back("h" + n);
    c.push_back("c" + n);
    graph.inputs.push_back({h.back(), type});
    graph.inputs.push_back({c.back(), type});
    for (const char* kind : {"W", "R"}) graph.initializers[kind + n] = uniform({1, 4 * hidden, hidden});
    graph.initializers["B" + n] = uniform({1, 8 * hidden});
  }
  for (int copy = 0; copy < copies; ++copy) {
    std::string below = "x";
    for (std::int64_t l = 0; l < layers; ++l) {
      const std::string n = std::to_string(l), own = "lstm" + std::to_string(copy) + "_" + n;
      const auto at = static_cast<std::size_t>(l);
      graph.add(Node{.name = own,
                     .op = "LSTM",
                     .domain = "",
                     .inputs = {below, "W" + n, "R" + n, "B" + n, "", h[at], c[at]},
                     .outputs = {"", own + ".h", own + ".c"},
                     .attributes = {{"hidden_size", hidden}}});
      below = h[at] = own + ".h";
      c[at] = own + ".c";
    }
  }
  for (std::string* state : {&h.back(), &c.back()}) {
    if (copies == 0) *state = graph.add("Identity", {*state});
    graph.outputs.push_back(*state);
  }
  return graph;
}

std::map<std::string, Tensor> feeds_of(const Graph& graph, std::int64_t hidden) {
  std::map<std::string, Tensor> feeds;
  Random random(2);
  for (const GraphInput& input : graph.inputs) {
    Tensor t(DType::f32, {1, 1, hidden});
    for (float& v : t.mutable_values<float>()) v = random.uniform(-1, 1);
    feeds[input.name] = t;
  }
  return feeds;
}

struct Runs {
  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> session;
  std::vector<Tensor> inputs, outputs;
  void run() { throw_if_error(session->run(inputs, outputs), "a recurrent layer"); }
};

Contender nnq_step(const Graph& graph, const std::string& what, const std::map<std::string, Tensor>& feeds,
                   const std::vector<float>& real) {
  const auto runs = std::make_shared<Runs>();
  throw_if_error(Model::from_program(lower(graph), runs->model), what);
  throw_if_error(Session::create(runs->model, {.threads = 1}, runs->session), what);
  for (const ModelPort& port : runs->model->inputs()) runs->inputs.push_back(feeds.at(port.name));
  runs->run();
  const std::vector<Tensor> expected = interpret(graph, feeds);
  Contender c;
  c.who = "nnq";
  c.what = what;
  for (const StepInfo& step : runs->session->steps())
    if (c.kernel.empty() || step.operations > 0) c.kernel = step.kernel;
  c.check = closeness(runs->outputs[0].values<float>(), expected[0].values<float>(), 1e-4) + ", " +
            signal_to_noise(runs->outputs[0].values<float>(), real);
  c.set_steps(*runs->session);
  c.sample = in_process([runs] { runs->run(); });
  return c;
}

Workload lstm(const Setting& setting, std::int64_t layers, std::int64_t hidden) {
  Workload w;
  w.name = "LSTM step, " + std::to_string(layers) + " x " + std::to_string(hidden);
  w.operations = static_cast<double>(layers * 16 * hidden * hidden);
  w.note =
      "Floats in, floats out, one step. ONNX Runtime: steps behind one another in one graph (small layers), less an "
      "empty graph. nnq W2A2 quantizes x and h on the way by alternating minimisation, W2A8 to W8A8 to 8 bits "
      "with a scale a vector; W4 has packed weights that are unpacked at load and a float state.";
  const int copies = hidden >= 1024 ? 1 : 8;
  const Graph one = steps(layers, hidden, 1), many = steps(layers, hidden, copies), none = steps(layers, hidden, 0);
  const auto feeds = feeds_of(one, hidden);
  const auto values = [](const Tensor& t) {
    const auto v = t.values<float>();
    return std::vector<float>(v.begin(), v.end());
  };
  const std::vector<float> real = values(setting.runtime.load_graph(one, feeds)->outputs().at(0));
  w.contenders.push_back(nnq_step(nnq_recurrent(one, 2, States::alternating), "W2A2 alternating", feeds, real));
  for (const int bits : {2, 4, 8})
    w.contenders.push_back(
        nnq_step(nnq_recurrent(one, bits, States::uniform), "W" + std::to_string(bits) + "A8", feeds, real));
  w.contenders.push_back(nnq_step(nnq_recurrent(one, 4, States::real), "W4", feeds, real));
  w.contenders.push_back(nnq_step(one, "fp32", feeds, real));
  const auto empty = setting.runtime.load_graph(none, feeds_of(none, hidden));
  Contender fp32, int8;
  fp32.who = int8.who = "ONNX Runtime";
  fp32.what = "fp32";
  fp32.check = "the reference";
  fp32.sample = less_empty(sampled(setting.runtime.load_graph(many, feeds)), sampled(empty), copies);
  int8.what = "int8 dynamic";
  int8.check =
      signal_to_noise(values(setting.runtime.load_bytes(dynamic_quantize_lstm(one), feeds)->outputs().at(0)), real);
  int8.sample =
      less_empty(sampled(setting.runtime.load_bytes(dynamic_quantize_lstm(many), feeds)), sampled(empty), copies);
  w.contenders.push_back(int8);
  w.contenders.push_back(fp32);
  using Kind = Goal::Kind;
  w.goals = {{Kind::faster, "W4A8", {"ONNX Runtime int8 dynamic"}, 2.2},
             {Kind::faster, "W2A8", {"ONNX Runtime int8 dynamic"}, 2.2},
             {Kind::faster, "W2A2 alternating", {"ONNX Runtime int8 dynamic"}, 2.5},
             {Kind::faster, "fp32", {"ONNX Runtime fp32"}, 0.95},
             {Kind::faster, "W4A8", {"nnq W8A8"}, 0.95},
             {Kind::faster, "W2A8", {"nnq W4A8"}, 0.95},
             {Kind::faster, "W2A2 alternating", {"nnq W2A8"}, 0.95}};
  return w;
}

}  // namespace

std::vector<Task> lstm_tasks() {
  std::vector<Task> tasks;
  struct Row {
    std::int64_t layers, hidden;
  };
  for (const Row& row : {Row{1, 1024}, {1, 300}, {2, 200}})
    tasks.push_back({"lstm", "LSTM step, " + std::to_string(row.layers) + " x " + std::to_string(row.hidden),
                     row.hidden == 300, [row](const Setting& s) { return lstm(s, row.layers, row.hidden); }});
  return tasks;
}

}  // namespace nnq::peers
