// A pass over the graph: a MaxPool between an integer layer and quantizers pools integers. All that stands between is
// a non-decreasing function of one value, and the largest of f(x) is f of the largest x, to the bit:
//
//   one quantizer      sums -> Affine -> Relu -> MaxPool -> q       becomes  sums -> Affine -> Relu -> q -> MaxPool
//                      (the layer's epilogue makes the codes, the pool moves bytes)
//   several of them    sums -> Affine -> Relu -> MaxPool -> q1, q2  becomes  sums -> Affine -> MaxPool -> Relu -> q1,
//   q2
//                      (lower_pool then takes the sums themselves; channels with a negative `a` their smallest)
//   a pool each        sums -> Affine -> q1 -> MaxPool, Affine -> Relu -> q2 -> MaxPool (freezing moved them there)
//                                                                    becomes  sums -> Affine -> MaxPool -> q1, Relu ->
//                                                                    q2
//                      (one pool of the sums, and quantizers of as many values as it leaves)
//
// Only behind integer layers: a NaN, which wins in a MaxPool and is the lowest code, cannot come from one.
#include <algorithm>
#include <cmath>
#include <optional>

#include "lower/lowering.h"

namespace nnq::lower_room {
namespace {

using Ints = std::vector<std::int64_t>;

bool is_code_maker(const Node& node) {
  return node.is("Quantize", kNnqDomain) || node.is("Sign", kNnqDomain) || node.is("Bucketize", kNnqDomain);
}

class PoolMover {
 public:
  explicit PoolMover(Graph& graph) : graph_(graph), index_(graph) {}

  /// Moves one pool; false: there is none to move.
  bool run() {
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n) {
      if (share(graph_.nodes[n])) return true;
    }
    for (Node& pool : graph_.nodes) {
      if (!movable(pool)) continue;
      const std::vector<std::size_t>& readers = index_.consumers.at(pool.outputs[0]);
      Node* const maker = producer(pool.inputs[0]);
      if (readers.size() == 1)
        behind(pool, graph_.nodes[readers[0]]);
      else if (maker != nullptr && maker->is("Relu"))
        in_front(pool, *maker);
      else
        continue;
      graph_.sort();
      return true;
    }
    return false;
  }

 private:
  Node* producer(const std::string& value) {
    const auto made = index_.producer.find(value);
    return made == index_.producer.end() || made->second < 0 ? nullptr
                                                             : &graph_.nodes[static_cast<std::size_t>(made->second)];
  }
  const Tensor* constant(const Node& node, std::size_t input) const {
    return input < node.inputs.size() ? graph_.initializer(node.inputs[input]) : nullptr;
  }
  bool finite(const Node& node, std::size_t input) const {
    const Tensor* t = constant(node, input);
    if (t == nullptr || t->dtype() != DType::f32) return false;
    const auto values = t->values<float>();
    return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
  }

  /// What stands between a shared value and one of its pools, and that pool, by their places in the graph.
  struct Branch {
    std::size_t head, quantizer, pool;
  };

  /// The branch that starts at a reader of `value`: [Relu ->] quantizer -> MaxPool, each read by the next alone.
  std::optional<Branch> branch(std::size_t reader, const std::string& value) const {
    Branch found{reader, reader, 0};
    std::string from = value;
    if (graph_.nodes[reader].is("Relu")) {
      from = graph_.nodes[reader].outputs[0];
      if (!sole(from)) return std::nullopt;
      found.quantizer = index_.consumers.at(from)[0];
    }
    const Node& quantizer = graph_.nodes[found.quantizer];
    if (!non_decreasing(quantizer, from) || !sole(quantizer.outputs[0])) return std::nullopt;
    found.pool = index_.consumers.at(quantizer.outputs[0])[0];
    const Node& pool = graph_.nodes[found.pool];
    if (!pool.is("MaxPool") || !covers(pool)) return std::nullopt;
    return found;
  }

  /// Several branches of what `maker` makes, with one window: the value is pooled once, in front of all of them.
  bool share(const Node& maker) {
    if (maker.outputs.size() != 1 || graph_.is_output(maker.outputs[0])) return false;
    const std::string value = maker.outputs[0];
    const auto readers = index_.consumers.find(value);
    if (readers == index_.consumers.end() || readers->second.size() < 2) return false;
    std::vector<Branch> branches;
    for (const std::size_t reader : readers->second) {
      const std::optional<Branch> found = branch(reader, value);
      if (!found || graph_.nodes[found->pool].attributes !=
                        graph_.nodes[branches.empty() ? found->pool : branches[0].pool].attributes)
        return false;
      branches.push_back(*found);
    }
    if (!integer_chain(value, /*shared=*/true)) return false;
    Node pool = graph_.nodes[branches[0].pool];
    pool.inputs = {value};
    pool.outputs = {graph_.fresh(value + ".pooled")};
    std::vector<std::size_t> gone;
    for (const Branch& each : branches) {
      graph_.nodes[each.head].inputs[0] = pool.outputs[0];
      graph_.nodes[each.quantizer].outputs = graph_.nodes[each.pool].outputs;
      gone.push_back(each.pool);
    }
    std::sort(gone.rbegin(), gone.rend());
    for (const std::size_t at : gone) graph_.nodes.erase(graph_.nodes.begin() + static_cast<std::ptrdiff_t>(at));
    graph_.nodes.push_back(std::move(pool));
    graph_.sort();
    return true;
  }

  /// Every window covers a pixel, and only quantizers read what is pooled.
  bool movable(const Node& pool) {
    if (!pool.is("MaxPool") || !covers(pool) || graph_.is_output(pool.outputs[0])) return false;
    const auto readers = index_.consumers.find(pool.outputs[0]);
    return readers != index_.consumers.end() && !readers->second.empty() &&
           std::all_of(readers->second.begin(), readers->second.end(),
                       [&](std::size_t reader) { return non_decreasing(graph_.nodes[reader], pool.outputs[0]); }) &&
           integer_chain(pool.inputs[0]);
  }

  static bool covers(const Node& pool) {
    const Ints kernel = pool.get_ints("kernel_shape"), pads = pool.get_ints("pads", Ints(4, 0)),
               dilations = pool.get_ints("dilations", Ints(2, 1));
    if (pool.outputs.size() != 1 || pool.get_string("auto_pad", "NOTSET") != "NOTSET" ||
        pool.get_int("ceil_mode", 0) != 0 || kernel.size() != 2 || pads.size() != 4 || dilations != Ints(2, 1))
      return false;
    for (std::size_t i = 0; i < 4; ++i) {
      if (pads[i] < 0 || pads[i] >= kernel[i % 2]) return false;
    }
    return true;
  }

  /// A quantizer of `value` whose codes rise with it.
  bool non_decreasing(const Node& node, const std::string& value) const {
    if (!is_code_maker(node) || node.inputs[0] != value) return false;
    if (node.is("Sign", kNnqDomain)) return true;
    if (!finite(node, 1)) return false;
    const auto numbers = constant(node, 1)->values<float>();
    if (node.is("Quantize", kNnqDomain)) return numbers.size() == 1 && numbers[0] > 0;
    return std::is_sorted(numbers.begin(), numbers.end());
  }

  /// [Relu] of [Affine] of the sums of an integer layer, each read by nothing else (`shared`: but `value` itself).
  bool integer_chain(std::string value, bool shared = false) {
    const std::string top = value;
    const auto alone = [&](const std::string& v) { return (shared && v == top) || sole(v); };
    const auto step_down = [&](auto&& is_next) {
      const Node* node = alone(value) ? producer(value) : nullptr;
      if (node != nullptr && is_next(*node)) value = node->inputs[0];
    };
    step_down([](const Node& node) { return node.is("Relu"); });
    step_down([&](const Node& node) {
      return node.is("Affine", kNnqDomain) && node.get_int("axis", 1) == 1 && finite(node, 1) && finite(node, 2);
    });
    const Node* layer = alone(value) ? producer(value) : nullptr;
    return layer != nullptr && integer_layer(*layer);
  }
  /// Read once, and no output.
  bool sole(const std::string& value) const {
    return !graph_.is_output(value) && index_.consumers.at(value).size() == 1;
  }

  bool integer_layer(const Node& node) {
    if (!node.is("Conv") || node.inputs.size() != 2) return false;
    const Node* input = producer(node.inputs[0]);
    while (input != nullptr && (input->is("MaxPool") || input->is("Identity"))) input = producer(input->inputs[0]);
    if (input == nullptr || !is_code_maker(*input)) return false;
    const Node* weights = producer(node.inputs[1]);
    if (weights != nullptr)
      return weights->is("BitPlanes", kNnqDomain) && integers(*weights, 1) && integers(*weights, 2);
    return integers(node, 1);
  }
  bool integers(const Node& node, std::size_t input) const {
    if (!finite(node, input)) return false;
    const auto values = constant(node, input)->values<float>();
    return std::all_of(values.begin(), values.end(), [](float v) { return v == std::nearbyint(v); });
  }

  /// q(MaxPool(x)) is MaxPool(q(x)).
  void behind(Node& pool, Node& quantizer) {
    quantizer.inputs[0] = pool.inputs[0];
    const std::string codes = quantizer.outputs[0];
    quantizer.outputs = {graph_.fresh(codes + ".unpooled")};
    pool.inputs[0] = quantizer.outputs[0];
    pool.outputs = {codes};
  }

  /// MaxPool(Relu(x)) is Relu(MaxPool(x)).
  void in_front(Node& pool, Node& relu) {
    const std::string pooled = pool.outputs[0];
    pool.inputs[0] = relu.inputs[0];
    pool.outputs = {graph_.fresh(pooled + ".before_relu")};
    relu.inputs[0] = pool.outputs[0];
    relu.outputs = {pooled};
  }

  Graph& graph_;
  GraphIndex index_;
};

}  // namespace

Graph pool_integers(Graph graph) {
  while (PoolMover(graph).run()) {
  }
  return graph;
}

}  // namespace nnq::lower_room
