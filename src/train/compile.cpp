// Graph -> Plan.
#include <algorithm>
#include <set>

#include "nnq/error.h"
#include "train/plan.h"
#include "train/real_sums.h"
#include "train/variables.h"

namespace nnq::train {
namespace {

std::string describe(const Node& node) { return "node '" + node.name + "' (" + node.op + ")"; }

Role role_of(const Node& node) {
  const std::string role = node.get_string("role", "");
  if (role == "weight") return Role::weight;
  if (role == "activation") return Role::activation;
  if (role == "gradient") return Role::gradient;
  throw Error("a Quantizer's role is weight, activation or gradient, not '" + role + "'", describe(node));
}

/// Runs the torch-free reference on copies; nothing to differentiate.
Kernel reference_kernel(const Node& node, std::int64_t opset) {
  return [node, opset](const Args& args) {
    std::vector<Tensor> in(node.inputs.size()), out;
    for (std::size_t i = 0; i < in.size(); ++i)
      if (args.has(i)) in[i] = from_torch(args[i]);
    throw_if_error(evaluate_node(node, opset, in, out));
    for (std::size_t i = 0; i < out.size(); ++i)
      if (out[i].defined()) args.set(i, to_torch(out[i]));
  };
}

class Compiler {
 public:
  Compiler(Plan& plan, const Executor::Options& options)
      : plan_(plan), graph_(plan.graph), options_(options), device_(options.device) {
    readers_ = readers_of(graph_);
    real_sums_ = real_sums(graph_);
  }

  void run() {
    make_variables();
    fold_constants();
    for (const GraphInput& input : graph_.inputs)
      if (!graph_.initializers.contains(input.name)) plan_.slot_of[input.name] = &plan_.slots.emplace_back();
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n)
      if (graph_.nodes[n].is("Quantizer", kNnqDomain) && !graph_.nodes[n].has("shared_with")) add_quantizer(n);
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n)
      if (!folded_.contains(n)) add_step(n);
    for (const std::string& output : graph_.outputs) plan_.outputs.push_back(slot(output, "graph output"));
    restore_state();
    plan_releases();
    plan_overwrites();
    plan_absorption();
  }

 private:
  void make_variables() {
    for (const auto& [name, value] : graph_.initializers) {
      if (value.dtype() != DType::f32 && value.dtype() != DType::f64) continue;
      const VariableKind kind = kind_of(graph_, readers_, name);
      if (kind == VariableKind::constant) continue;
      Variable& variable = plan_.variables.emplace_back();
      variable.name = name;
      variable.tensor = feeds_quantizer(name) ? to_torch(value).to(device_) : place(to_torch(value));
      variable.trainable = kind != VariableKind::buffer;
      variable.decay = kind == VariableKind::weight;
      if (variable.trainable) variable.tensor.set_requires_grad(true);
      variable_of_[name] = &variable;
    }
  }

  /// Such a weight stays in row-major order, so that sums over it round the same in forward() and in encode().
  bool feeds_quantizer(const std::string& name) const {
    const auto it = readers_.find(name);
    return it != readers_.end() && std::any_of(it->second.begin(), it->second.end(), [&](const auto& reader) {
             return graph_.nodes[reader.first].is("Quantizer", kNnqDomain);
           });
  }

  at::Tensor place(at::Tensor tensor) const {
    tensor = tensor.to(device_);
    if (options_.channels_last && tensor.dim() == 4) tensor = tensor.contiguous(at::MemoryFormat::ChannelsLast);
    return tensor;
  }

  /// The value of `name` if no run can change it.
  const Tensor* constant(const std::string& name) const {
    if (variable_of_.contains(name)) return nullptr;
    if (const auto it = constants_.find(name); it != constants_.end()) return &it->second;
    const auto it = graph_.initializers.find(name);
    return it == graph_.initializers.end() ? nullptr : &it->second;
  }

  void fold_constants() {
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n) {
      const Node& node = graph_.nodes[n];
      if (node.is("Quantizer", kNnqDomain) || node.is("Dropout") || find_op(node.domain, node.op) == nullptr) continue;
      std::vector<Tensor> in(node.inputs.size()), out;
      bool known = true;
      for (std::size_t i = 0; i < in.size() && known; ++i) {
        if (node.inputs[i].empty()) continue;
        const Tensor* value = constant(node.inputs[i]);
        known = value != nullptr;
        if (known) in[i] = *value;
      }
      if (!known) continue;
      throw_if_error(evaluate_node(node, graph_.opset, in, out), describe(node));
      folded_.insert(n);
      for (std::size_t i = 0; i < node.outputs.size() && i < out.size(); ++i)
        if (!node.outputs[i].empty()) constants_[node.outputs[i]] = std::move(out[i]);
    }
  }

  /// Where `name` lives while running.
  at::Tensor* slot(const std::string& name, const std::string& reader) {
    if (const auto it = variable_of_.find(name); it != variable_of_.end()) return &it->second->tensor;
    if (const auto it = plan_.slot_of.find(name); it != plan_.slot_of.end()) return it->second;
    if (const auto it = constant_slots_.find(name); it != constant_slots_.end()) return it->second;
    const Tensor* value = constant(name);
    NNQ_CHECK(value != nullptr, "value '" + name + "' is read before anything makes it", reader);
    at::Tensor& made = plan_.slots.emplace_back();
    if (value->dtype() != DType::string) made = place(to_torch(*value));
    constant_slots_[name] = &made;
    return &made;
  }

  void add_step(std::size_t n) {
    const Node& node = graph_.nodes[n];
    Step step;
    step.node = n;
    const bool quantizer = node.is("Quantizer", kNnqDomain);
    if (quantizer) {
      const std::string owner = node.get_string("shared_with", node.name.c_str());
      const PlacedQuantizer* placed = placed_under(owner);
      NNQ_CHECK(placed != nullptr, "shares the encoding of '" + owner + "', which is no Quantizer", describe(node));
      NNQ_CHECK(!node.inputs.empty() && !node.outputs.empty() && role_of(node) == placed->role,
                "needs an input, an output and the role of '" + owner + "'", describe(node));
      step.in = {slot(node.inputs[0], describe(node))};
      step.quantizer = placed->quantizer.get();
      step.role = placed->role;
    } else {
      for (const std::string& input : node.inputs)
        step.in.push_back(input.empty() ? nullptr : slot(input, describe(node)));
      step.kernel = kernel_of(n);
    }
    for (const std::string& output : node.outputs)
      step.out.push_back(output.empty() ? nullptr : (plan_.slot_of[output] = &plan_.slots.emplace_back()));
    plan_.steps.push_back(std::move(step));
  }

  Kernel kernel_of(std::size_t n) const {
    const Node& node = graph_.nodes[n];
    Build build{node, graph_.opset, {}, n, real_sums_.contains(n)};
    for (const std::string& input : node.inputs) build.constants.push_back(input.empty() ? nullptr : constant(input));
    if (const Builder* builder = find_builder(node.domain, node.op)) {
      try {
        if (Kernel kernel = (*builder)(build)) return kernel;
      } catch (const Error& error) {
        throw error.inside(describe(node));
      }
    }
    NNQ_CHECK(find_op(node.domain, node.op) != nullptr, "operator is not known", describe(node));
    return reference_kernel(node, graph_.opset);
  }

  const PlacedQuantizer* placed_under(const std::string& name) const {
    const auto it = std::find_if(plan_.quantizers.begin(), plan_.quantizers.end(),
                                 [&](const PlacedQuantizer& q) { return graph_.nodes[q.node].name == name; });
    return it == plan_.quantizers.end() ? nullptr : &*it;
  }

  void add_quantizer(std::size_t n) {
    const Node& node = graph_.nodes[n];
    NNQ_CHECK(!node.inputs.empty() && !node.outputs.empty(), "a Quantizer needs an input and an output",
              describe(node));
    QuantizerContext context;
    context.role = role_of(node);
    context.bits = static_cast<int>(node.get_int("bits", 8));
    context.node = node;
    context.seed = options_.seed;
    const auto variable = variable_of_.find(node.inputs[0]);
    if (context.role == Role::weight) {
      const Tensor* value =
          variable != variable_of_.end() ? graph_.initializer(node.inputs[0]) : constant(node.inputs[0]);
      NNQ_CHECK(value != nullptr, "a weight quantizer reads an initializer", describe(node));
      context.weight_shape = value->shape();
      context.channel_axis = channel_axis_of(graph_, readers_, node.outputs[0], value->rank());
    }
    PlacedQuantizer& placed = plan_.quantizers.emplace_back();
    placed.node = n;
    placed.role = context.role;
    try {
      placed.quantizer = find_method(node.get_string("method", "")).make(context);
    } catch (const Error& error) {
      throw error.inside(describe(node));
    }
    if (context.role == Role::weight && variable != variable_of_.end())
      variable->second->quantizer = placed.quantizer.get();
  }

  void restore_state() {
    for (PlacedQuantizer& placed : plan_.quantizers)
      for (const StateEntry& entry : placed.quantizer->state()) {
        const Tensor* saved = graph_.initializer(graph_.nodes[placed.node].name + "." + entry.name);
        if (saved == nullptr) continue;
        at::Tensor value = to_torch(*saved).to(device_);
        if (entry.tensor->defined()) value = value.to(entry.tensor->scalar_type());
        *entry.tensor = value;
      }
  }

  void plan_releases() {
    std::set<at::Tensor*> kept(plan_.outputs.begin(), plan_.outputs.end());
    for (const auto& [name, tensor] : constant_slots_) kept.insert(tensor);
    for (Variable& variable : plan_.variables) kept.insert(&variable.tensor);
    for (auto step = plan_.steps.rbegin(); step != plan_.steps.rend(); ++step) {
      for (at::Tensor* in : step->in)
        if (in != nullptr && kept.insert(in).second) step->release.push_back(in);
      for (at::Tensor* out : step->out)
        if (out != nullptr && kept.insert(out).second) step->release.push_back(out);  // nobody reads it
    }
  }

  /// Relu and Add may write over input 0 when nothing else reads it and its producer's gradient does not need it.
  void plan_overwrites() {
    static const std::set<std::string> safe{"Conv", "ConvTranspose", "BatchNormalization", "Gemm", "MatMul", "Add"};
    std::map<at::Tensor*, std::string> maker;
    std::map<at::Tensor*, int> reads;
    for (const Step& step : plan_.steps) {
      const Node& node = graph_.nodes[step.node];
      if (node.domain.empty() && !step.out.empty() && step.out[0] != nullptr) maker[step.out[0]] = node.op;
      for (at::Tensor* in : step.in) ++reads[in];
    }
    for (at::Tensor* output : plan_.outputs) ++reads[output];
    for (Step& step : plan_.steps) {
      const Node& node = graph_.nodes[step.node];
      if (!node.is("Relu") && !node.is("Add")) continue;
      const auto free = [&](at::Tensor* in) {
        return in != nullptr && reads[in] == 1 && maker.contains(in) && safe.contains(maker[in]);
      };
      if (node.op == "Add" && step.in.size() == 2 && !free(step.in[0]) && free(step.in[1]))
        std::swap(step.in[0], step.in[1]);
      step.overwrite_first = !step.in.empty() && free(step.in[0]);
    }
  }

  void plan_absorption() {
    for (Step& step : plan_.steps) {
      const Node& node = graph_.nodes[step.node];
      if (!node.is("Relu") || graph_.is_output(node.outputs[0])) continue;
      const auto it = readers_.find(node.outputs[0]);
      if (it == readers_.end()) continue;
      step.absorbed = std::all_of(it->second.begin(), it->second.end(), [&](const auto& reader) {
        const auto placed = std::find_if(plan_.quantizers.begin(), plan_.quantizers.end(),
                                         [&](const PlacedQuantizer& q) { return q.node == reader.first; });
        return placed != plan_.quantizers.end() && placed->role == Role::activation &&
               placed->quantizer->absorbs_relu();
      });
    }
  }

  Plan& plan_;
  Graph& graph_;
  const Executor::Options& options_;
  at::Device device_;
  Readers readers_;
  std::set<std::size_t> real_sums_;  // nodes
  std::map<std::string, Variable*> variable_of_;
  std::map<std::string, Tensor> constants_;  // folded
  std::map<std::string, at::Tensor*> constant_slots_;
  std::set<std::size_t> folded_;
};

}  // namespace

std::unique_ptr<Plan> compile(Graph graph, const Executor::Options& options) {
  auto plan = std::make_unique<Plan>();
  plan->graph = std::move(graph);
  Compiler(*plan, options).run();
  return plan;
}

}  // namespace nnq::train
