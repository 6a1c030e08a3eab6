// A pass over the graph: Quantize(Concat(x, y)) is Concat(Quantize(x), Quantize(y)).
#include <algorithm>

#include "lower/lowering.h"

namespace nnq::lower_room {
namespace {

bool is_quantizer(const Node& node) { return node.is("Quantize", kNnqDomain) || node.is("Sign", kNnqDomain); }

class Mover {
 public:
  explicit Mover(Graph& graph) : graph_(graph), index_(graph), types_(infer_types(graph)) {}

  /// Whether anything moved.
  bool run() {
    std::vector<Node> added;
    for (Node& concat : graph_.nodes) {
      if (movable(concat)) move(concat, added);
    }
    graph_.nodes.insert(graph_.nodes.end(), added.begin(), added.end());
    if (!added.empty()) graph_.sort();
    return !added.empty();
  }

 private:
  /// Of channels, of images or matrices, read by one quantizer alone: what lower_concat takes.
  bool movable(const Node& concat) const {
    if (!concat.is("Concat") || concat.get_int("axis", 0) != 1 || graph_.is_output(concat.outputs[0])) return false;
    const auto readers = index_.consumers.find(concat.outputs[0]);
    if (readers == index_.consumers.end() || readers->second.size() != 1 ||
        !is_quantizer(graph_.nodes[readers->second[0]]))
      return false;
    return std::all_of(concat.inputs.begin(), concat.inputs.end(), [&](const std::string& input) {
      const auto type = types_.find(input);
      return type != types_.end() && type->second.ranked &&
             (type->second.shape.size() == 2 || type->second.shape.size() == 4) && type->second.shape[1].known();
    });
  }

  void move(Node& concat, std::vector<Node>& added) {
    Node& quantizer = graph_.nodes[index_.consumers.at(concat.outputs[0])[0]];
    const Node form = quantizer;
    for (std::size_t i = 0; i < concat.inputs.size(); ++i) {
      const std::string number = "." + std::to_string(i);
      Node each = form;
      each.name = form.name + number;
      each.inputs[0] = concat.inputs[i];
      each.outputs = {graph_.fresh(form.outputs[0] + number)};
      concat.inputs[i] = each.outputs[0];
      added.push_back(std::move(each));
    }
    // The Concat makes the codes; what was the quantizer hands them on under its name.
    concat.outputs = {graph_.fresh(form.outputs[0] + ".joined")};
    quantizer = Node{.name = form.name,
                     .op = "Identity",
                     .domain = "",
                     .inputs = concat.outputs,
                     .outputs = form.outputs,
                     .attributes = {}};
  }

  Graph& graph_;
  GraphIndex index_;
  std::map<std::string, ValueType> types_;
};

}  // namespace

Graph quantize_before_concat(Graph graph) {
  while (Mover(graph).run()) {
  }
  return graph;
}

}  // namespace nnq::lower_room
