// A pass over the graph: a MaxPool behind an integer layer pools integers. All that stands between is a non-decreasing
// function of one value, and the largest of f(x) is f of the largest x, to the bit:
//
//   one quantizer      sums -> Affine -> Relu -> MaxPool -> q       becomes  sums -> Affine -> Relu -> q -> MaxPool
//                      (the layer's epilogue makes the codes, the pool moves bytes)
//   any other readers  sums -> Affine -> Relu -> MaxPool -> ...     becomes  sums -> Affine -> MaxPool -> Relu -> ...
//                      (lower_pool then takes the sums themselves; channels with a negative `a` their smallest)
//   a pool each        sums -> Affine -> q1 -> MaxPool, Affine -> Relu [-> q2] -> MaxPool (freezing moved them there)
//                                                         becomes  sums -> Affine -> MaxPool -> q1, Relu [-> q2]
//                      (one pool of the sums; quantizers, or the floats of a residual path, of what it leaves)
//
// Only behind integer layers: a NaN, which wins in a MaxPool and is the lowest code, cannot come from one. Nor can a -0
// where no offset is -0: of two zeros a MaxPool takes either.
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
      if (!pool.is("MaxPool") || !covers(pool) || !integer_chain(pool.inputs[0])) continue;
      Node* const maker = producer(pool.inputs[0]);
      if (Node* const quantizer = sole_quantizer(pool.outputs[0]); quantizer != nullptr)
        behind(pool, *quantizer);
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

  /// What stands between a shared value and one of its pools, by their places in the graph: the first and the last
  /// node, and the pool; of a value that is pooled at once all are the pool.
  struct Branch {
    std::size_t head, last, pool;
    bool bare() const { return head == pool; }
  };

  /// The branch that starts at a reader of `value`: [Relu ->] [quantizer ->] MaxPool, each read by the next alone.
  std::optional<Branch> branch(std::size_t reader, const std::string& value) const {
    Branch found{reader, reader, reader};
    std::string from = value;
    const auto pass = [&] {
      from = graph_.nodes[found.pool].outputs[0];
      if (!sole(from)) return false;
      found.last = found.pool;
      found.pool = index_.consumers.at(from)[0];
      return true;
    };
    if (graph_.nodes[found.pool].is("Relu") && !pass()) return std::nullopt;
    if (non_decreasing(graph_.nodes[found.pool], from) && !pass()) return std::nullopt;
    const Node& pool = graph_.nodes[found.pool];
    if (!pool.is("MaxPool") || !covers(pool)) return std::nullopt;
    return found;
  }

  /// The branches of all readers of `value`, which have pools of one window; none: a reader is something else.
  std::vector<Branch> branches_of(const std::string& value) const {
    std::vector<Branch> branches;
    const auto readers = index_.consumers.find(value);
    if (readers == index_.consumers.end()) return {};
    for (const std::size_t reader : readers->second) {
      const std::optional<Branch> found = branch(reader, value);
      if (!found || graph_.nodes[found->pool].attributes !=
                        graph_.nodes[branches.empty() ? found->pool : branches[0].pool].attributes)
        return {};
      branches.push_back(*found);
    }
    return std::count_if(branches.begin(), branches.end(), [](const Branch& b) { return b.bare(); }) <= 1
               ? branches
               : std::vector<Branch>();
  }

  /// Several branches of what `maker` makes, with one window: the value is pooled once, in front of all of them.
  bool share(const Node& maker) {
    if (maker.outputs.size() != 1 || graph_.is_output(maker.outputs[0])) return false;
    const std::string value = maker.outputs[0];
    const std::vector<Branch> branches = branches_of(value);
    if (branches.size() < 2 || !integer_chain(value, /*shared=*/true)) return false;
    Node pool = graph_.nodes[branches[0].pool];
    pool.inputs = {value};
    pool.outputs = {graph_.fresh(value + ".pooled")};
    for (const Branch& each : branches)
      if (each.bare()) pool.outputs = graph_.nodes[each.pool].outputs;
    std::vector<std::size_t> gone;
    for (const Branch& each : branches) {
      gone.push_back(each.pool);
      if (each.bare()) continue;
      graph_.nodes[each.head].inputs[0] = pool.outputs[0];
      graph_.nodes[each.last].outputs = graph_.nodes[each.pool].outputs;
    }
    std::sort(gone.rbegin(), gone.rend());
    for (const std::size_t at : gone) graph_.nodes.erase(graph_.nodes.begin() + static_cast<std::ptrdiff_t>(at));
    graph_.nodes.push_back(std::move(pool));
    graph_.sort();
    return true;
  }

  /// The quantizer that alone reads `value` and whose codes rise with it; nullptr: others do.
  Node* sole_quantizer(const std::string& value) {
    if (!sole(value)) return nullptr;
    Node& reader = graph_.nodes[index_.consumers.at(value)[0]];
    return non_decreasing(reader, value) ? &reader : nullptr;
  }

  /// Every window covers a pixel.
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
      return node.is("Affine", kNnqDomain) && node.get_int("axis", 1) == 1 && finite(node, 1) && finite(node, 2) &&
             no_negative_zero(*constant(node, 2));
    });
    const Node* layer = alone(value) ? producer(value) : nullptr;
    return layer != nullptr && integer_layer(*layer);
  }
  static bool no_negative_zero(const Tensor& offsets) {
    const auto values = offsets.values<float>();
    return std::none_of(values.begin(), values.end(), [](float v) { return v == 0 && std::signbit(v); });
  }
  /// Read once, and no output.
  bool sole(const std::string& value) const {
    const auto readers = index_.consumers.find(value);
    return !graph_.is_output(value) && readers != index_.consumers.end() && readers->second.size() == 1;
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
