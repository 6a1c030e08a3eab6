#include "train/executor.h"

#include <algorithm>
#include <set>

#include "nnq/error.h"
#include "nnq/passes.h"
#include "nnq/quantize.h"
#include "train/memory.h"
#include "train/plan.h"

namespace nnq::train {

struct Executor::State {
  Options options;
  at::Device device{at::kCPU};
  std::unique_ptr<Plan> plan;
  std::int64_t counter = 0;  // of optimizer steps
  std::uint64_t pass = 0;    // forward passes since set_step
  Surrogate surrogate;
  bool drawing = false;  // stochastic quantizers draw in evaluation

  void set_inputs(const std::map<std::string, at::Tensor>& inputs);
  void run(bool training, const Observer& observe, bool bypass, const std::function<void(Step&)>& on_quantizer);
  void run_step(Step& step, const Run& run, bool may_overwrite) const;
  at::Tensor quantized(Step& step, const Run& run) const;
  void release_all();
  void mark_trainable();
};

namespace {

std::string describe(const Node& node) { return "node '" + node.name + "' (" + node.op + ")"; }

void check_input(const GraphInput& input, const at::Tensor& tensor) {
  const ValueType& type = input.type;
  if (!type.ranked) return;
  bool fits = static_cast<std::size_t>(tensor.dim()) == type.shape.size();
  for (std::size_t d = 0; fits && d < type.shape.size(); ++d)
    fits = !type.shape[d].known() || type.shape[d].value == tensor.size(static_cast<std::int64_t>(d));
  NNQ_CHECK(fits, "takes " + type.to_string() + ", was given " + to_string(tensor.sizes().vec()),
            "input '" + input.name + "'");
}

bool draws(const Node& node) { return node.is("Quantizer", kNnqDomain) && node.get_int("stochastic", 0) != 0; }

std::string state_name(const Node& node, const StateEntry& entry) { return node.name + "." + entry.name; }

}  // namespace

void Executor::State::set_inputs(const std::map<std::string, at::Tensor>& inputs) {
  for (const auto& [name, tensor] : inputs)
    NNQ_CHECK(plan->slot_of.contains(name), "the graph has no input '" + name + "'");
  for (const GraphInput& input : plan->graph.inputs) {
    const auto slot = plan->slot_of.find(input.name);
    if (slot == plan->slot_of.end()) continue;  // an initializer under an input's name
    const auto given = inputs.find(input.name);
    NNQ_CHECK(given != inputs.end() && given->second.defined(), "input '" + input.name + "' was not given");
    check_input(input, given->second);
    at::Tensor tensor = given->second.to(device);
    if (options.channels_last && tensor.dim() == 4) tensor = tensor.contiguous(at::MemoryFormat::ChannelsLast);
    *slot->second = tensor;
  }
}

void Executor::State::release_all() {
  for (Step& step : plan->steps)
    for (at::Tensor* out : step.out)
      if (out != nullptr) out->reset();
  for (const GraphInput& input : plan->graph.inputs)
    if (const auto slot = plan->slot_of.find(input.name); slot != plan->slot_of.end()) slot->second->reset();
}

void Executor::State::run_step(Step& step, const Run& run, bool may_overwrite) const {
  const Node& node = plan->graph.nodes[step.node];
  try {
    if (step.quantizer != nullptr) {
      *step.out[0] = quantized(step, run);
    } else {
      step.kernel(Args(run, step.in, step.out, may_overwrite && step.overwrite_first));
    }
  } catch (const Error& error) {
    throw error.inside(describe(node));
  } catch (const c10::Error& error) {
    throw Error(error.what_without_backtrace(), describe(node));
  }
}

at::Tensor Executor::State::quantized(Step& step, const Run& run) const {
  const at::Tensor& x = *step.in[0];
  const bool draw = run.training || (drawing && draws(plan->graph.nodes[step.node]));
  if (run.surrogate.kind == SurrogateKind::own || step.role != Role::activation || !needs_gradient(x))
    return step.quantizer->forward(x, draw);
  const bool clip = run.surrogate.kind == SurrogateKind::clip;
  if (!clip && !step.quantizer->activation_code().sign) return step.quantizer->forward(x, draw);
  const at::Tensor q = step.quantizer->forward(x.detach(), draw);
  return clip ? clipped_through(x, q) : sign_through(x, q, run.surrogate);
}

void Executor::State::run(bool training, const Observer& observe, bool bypass,
                          const std::function<void(Step&)>& on_quantizer) {
  const Run run{
      training,
      (options.seed * 0x9e3779b97f4a7c15u + static_cast<std::uint64_t>(counter)) * 0x9e3779b97f4a7c15u + pass++,
      surrogate};
  const bool quiet = !observe && !bypass;
  if (observe)
    for (const GraphInput& input : plan->graph.inputs)
      if (const auto slot = plan->slot_of.find(input.name); slot != plan->slot_of.end())
        observe(input.name, *slot->second);
  for (Step& next : plan->steps) {
    if (next.quantizer != nullptr && bypass) on_quantizer(next);
    if (next.quantizer != nullptr && bypass && next.quantizer->keeps_magnitude()) {
      *next.out[0] = *next.in[0];
    } else if (next.absorbed && quiet) {
      *next.out[0] = *next.in[0];
    } else {
      run_step(next, run, quiet);
    }
    if (observe) {
      const Node& node = plan->graph.nodes[next.node];
      for (std::size_t i = 0; i < next.out.size(); ++i)
        if (next.out[i] != nullptr && next.out[i]->defined()) observe(node.outputs[i], *next.out[i]);
    }
    for (at::Tensor* dead : next.release) dead->reset();
  }
}

void Executor::State::mark_trainable() {
  for (PlacedQuantizer& placed : plan->quantizers)
    for (const StateEntry& entry : placed.quantizer->state())
      if (entry.tensor->defined() && entry.trainable != entry.tensor->requires_grad())
        *entry.tensor = entry.tensor->detach().set_requires_grad(entry.trainable);
}

Executor::Executor(Graph graph, const Options& options) : state_(std::make_unique<State>()) {
  keep_freed_memory();
  state_->options = options;
  state_->device = at::Device(options.device);
  state_->plan = compile(std::move(graph), options);
  state_->mark_trainable();
}

Executor::~Executor() = default;
Executor::Executor(Executor&&) noexcept = default;

std::vector<at::Tensor> Executor::forward(const std::map<std::string, at::Tensor>& inputs, bool training,
                                          const Observer& observe) {
  struct Release {
    State& state;
    ~Release() { state.release_all(); }
  } release{*state_};
  state_->set_inputs(inputs);
  state_->run(training, observe, false, {});
  std::vector<at::Tensor> outputs;
  for (at::Tensor* output : state_->plan->outputs) outputs.push_back(*output);
  return outputs;
}

std::vector<Parameter> Executor::parameters() {
  state_->mark_trainable();
  std::vector<Parameter> parameters;
  for (Variable& variable : state_->plan->variables) {
    Parameter parameter{variable.name, &variable.tensor, variable.decay, variable.trainable, 1, variable.quantizer,
                        false};
    if (variable.quantizer != nullptr)
      parameter.learning_rate_scale = variable.quantizer->learning_rate_scale(variable.tensor);
    parameters.push_back(std::move(parameter));
  }
  for (PlacedQuantizer& placed : state_->plan->quantizers) {
    const Node& node = state_->plan->graph.nodes[placed.node];
    for (const StateEntry& entry : placed.quantizer->state())
      if (entry.tensor->defined())
        parameters.push_back(
            {state_name(node, entry), entry.tensor, false, entry.trainable, entry.learning_rate_scale, nullptr, true});
  }
  return parameters;
}

std::map<std::string, Quantizer*> Executor::quantizers() {
  std::map<std::string, Quantizer*> result;
  for (PlacedQuantizer& placed : state_->plan->quantizers)
    result[state_->plan->graph.nodes[placed.node].name] = placed.quantizer.get();
  return result;
}

void Executor::set_step(std::int64_t step) {
  state_->counter = step;
  state_->pass = 0;
  for (PlacedQuantizer& placed : state_->plan->quantizers) placed.quantizer->set_step(step);
}

void Executor::set_progress(double progress) {
  for (PlacedQuantizer& placed : state_->plan->quantizers) placed.quantizer->set_progress(progress);
}

void Executor::calibrate(const std::vector<at::Tensor>& batches) {
  const at::NoGradGuard no_gradient;
  State& state = *state_;
  for (Step& step : state.plan->steps)
    if (step.quantizer != nullptr && step.role == Role::weight) step.quantizer->calibrate(*step.in[0]);
  const auto observe = [](Step& step) {
    if (step.role == Role::activation) step.quantizer->calibrate(*step.in[0]);
  };
  for (const at::Tensor& batch : batches) {
    NNQ_CHECK(state.plan->graph.inputs.size() == 1,
              "calibration feeds graphs of one input; this one has " + std::to_string(state.plan->graph.inputs.size()));
    struct Release {
      State& state;
      ~Release() { state.release_all(); }
    } release{state};
    state.set_inputs({{state.plan->graph.inputs[0].name, batch}});
    state.run(false, {}, true, observe);
  }
  for (PlacedQuantizer& placed : state.plan->quantizers) placed.quantizer->finish_calibration();
  state.mark_trainable();
}

bool Executor::keeps_magnitude() const {
  const auto& placed = state_->plan->quantizers;
  return std::all_of(placed.begin(), placed.end(),
                     [](const PlacedQuantizer& each) { return each.quantizer->keeps_magnitude(); });
}

std::string Executor::input_name() const {
  const std::vector<GraphInput>& inputs = state_->plan->graph.inputs;
  NNQ_CHECK(inputs.size() == 1, "the network has " + std::to_string(inputs.size()) + " inputs, one is needed");
  return inputs[0].name;
}

void Executor::set_surrogate(const Surrogate& surrogate) { state_->surrogate = surrogate; }
void Executor::set_drawing(bool drawing) { state_->drawing = drawing; }

bool Executor::stochastic() const {
  const std::vector<Node>& nodes = state_->plan->graph.nodes;
  return std::any_of(nodes.begin(), nodes.end(), draws);
}

Graph Executor::graph() const {
  Graph graph = state_->plan->graph;
  for (const Variable& variable : state_->plan->variables)
    graph.initializers[variable.name] = from_torch(variable.tensor);
  for (const PlacedQuantizer& placed : state_->plan->quantizers) {
    Node& node = graph.nodes[placed.node];
    node.inputs.resize(1);
    std::vector<std::string> names;
    for (const StateEntry& entry : placed.quantizer->state()) {
      if (!entry.tensor->defined()) continue;
      names.push_back(entry.name);
      node.inputs.push_back(state_name(node, entry));
      graph.initializers[node.inputs.back()] = from_torch(*entry.tensor);
    }
    if (names.empty()) {
      node.attributes.erase("state_names");
    } else {
      node.attributes["state_names"] = std::move(names);
    }
  }
  return graph;
}

namespace {

/// Weights whose quantizer has no codes become what that quantizer makes of them; its node goes.
Graph float_weights_set(Graph graph, const std::vector<PlacedQuantizer>& quantizers) {
  std::set<std::string> gone;
  for (const PlacedQuantizer& placed : quantizers) {
    if (placed.role != Role::weight || !placed.quantizer->deploys_as_float()) continue;
    const Node& node = graph.nodes[placed.node];
    const at::Tensor weight = to_torch(*graph.initializer(node.inputs[0]));
    graph.initializers[node.outputs[0]] = from_torch(placed.quantizer->forward(weight, false));
    gone.insert(node.name);
  }
  if (gone.empty()) return graph;
  std::erase_if(graph.nodes, [&](const Node& node) { return gone.contains(node.name); });
  return remove_dead_nodes(std::move(graph));
}

}  // namespace

Graph Executor::frozen() const {
  std::map<std::string, const Quantizer*> by_name;
  for (const PlacedQuantizer& placed : state_->plan->quantizers)
    by_name[state_->plan->graph.nodes[placed.node].name] = placed.quantizer.get();
  const auto find = [&](const Node& node) {
    const auto it = by_name.find(node.name);
    NNQ_CHECK(it != by_name.end(), "no quantizer of this name is in the executor", describe(node));
    return it->second;
  };
  const at::NoGradGuard no_gradient;
  FreezeCallbacks callbacks;
  callbacks.weight = [&](const Node& node, const Tensor& weight) { return find(node)->encode(to_torch(weight)); };
  callbacks.activation = [&](const Node& node) { return find(node)->activation_code(); };
  return freeze(float_weights_set(graph(), state_->plan->quantizers), callbacks);
}

}  // namespace nnq::train
