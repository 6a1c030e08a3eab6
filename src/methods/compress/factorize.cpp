#include "methods/compress/factorize.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "methods/distortion.h"
#include "methods/quantize/deep_twist.h"
#include "nnq/error.h"
#include "nnq/passes.h"
#include "train/executor.h"

namespace nnq::methods {
namespace {

using Attributes = std::map<std::string, Attribute>;

at::Tensor one_by_one(const at::Tensor& matrix) { return matrix.reshape({matrix.size(0), matrix.size(1), 1, 1}); }

/// One layer being split. Nodes go behind the others; the graph is sorted at the end.
class Split {
 public:
  Split(Graph& graph, std::size_t node, const at::Tensor& weight)
      : graph_(graph), index_(node), name_(graph.nodes[node].name), weight_(weight) {}

  FactorizedLayer run(const LowRankFormat& format) {
    const bool conv = layer().is("Conv");
    NNQ_CHECK((conv && layer().get_int("group", 1) == 1) || (layer().is("Gemm") && layer().get_int("transB", 0) != 0),
              "cannot be split into layers of low rank", "layer '" + name_ + "' (" + layer().op + ")",
              "Conv of one group and Gemm can; leave this one out by a rule of its own");
    NNQ_CHECK(!format.tucker2 || weight_.dim() == 4, "Tucker-2 splits two-dimensional convolutions",
              "layer '" + name_ + "' (" + layer().op + ")", "use projection = \"svd\" for it");
    if (format.tucker2) return by_tucker2(format);
    const LowRank f = low_rank(weight_, format.rank);
    const FactorizedLayer done = report(f.left.numel() + f.right.numel());
    if (done.weights_after == done.weights_before) return keep(compose(f, weight_));
    if (!conv) {
      put_before("Gemm", f.right, {{"transB", std::int64_t{1}}}, ".low_rank");
      set_weight(f.left);
      return done;
    }
    std::vector<std::int64_t> shape = weight_.sizes().vec();
    shape[0] = f.right.size(0);
    put_before("Conv", f.right.reshape(shape), spatial(), ".low_rank");
    std::vector<std::int64_t> last(static_cast<std::size_t>(weight_.dim()), 1);
    last[0] = f.left.size(0);
    last[1] = f.left.size(1);
    make_pointwise(f.left.reshape(last));
    return done;
  }

 private:
  Node& layer() { return graph_.nodes[index_]; }

  FactorizedLayer by_tucker2(const LowRankFormat& format) {
    const Tucker2 f = tucker2(weight_, format.rank, format.rank_inputs, format.sweeps);
    const FactorizedLayer done = report(f.input.numel() + f.core.numel() + f.output.numel());
    if (done.weights_after == done.weights_before) return keep(compose(f));
    const Attributes place = spatial();
    put_before("Conv", one_by_one(f.input), {}, ".inputs");
    put_before("Conv", f.core, place, ".core");
    make_pointwise(one_by_one(f.output));
    return done;
  }

  FactorizedLayer report(std::int64_t weights) const {
    return {name_, weight_.numel(), std::min(weights, static_cast<std::int64_t>(weight_.numel()))};
  }

  FactorizedLayer keep(const at::Tensor& projected) {
    set_weight(projected);
    return report(weight_.numel());
  }

  void set_weight(const at::Tensor& weight) {
    layer().inputs[1] = graph_.add_initializer(name_ + ".factor", train::from_torch(weight.contiguous()));
  }

  /// Where and how the kernel moves.
  Attributes spatial() {
    Attributes kept;
    for (const char* key : {"kernel_shape", "strides", "pads", "dilations", "auto_pad"})
      if (const auto it = layer().attributes.find(key); it != layer().attributes.end()) kept.insert(*it);
    return kept;
  }

  /// A layer without bias between what feeds the layer now and the layer.
  void put_before(const char* op, const at::Tensor& weight, Attributes attributes, const char* suffix) {
    const std::string value =
        graph_.add_initializer(name_ + suffix + ".weight", train::from_torch(weight.contiguous()));
    const std::string output = graph_.add(op, {layer().inputs[0], value}, std::move(attributes), name_ + suffix);
    layer().inputs[0] = output;
  }

  void make_pointwise(const at::Tensor& weight) {
    for (const char* key : {"kernel_shape", "strides", "pads", "dilations", "auto_pad"}) layer().attributes.erase(key);
    set_weight(weight);
  }

  Graph& graph_;
  std::size_t index_;
  std::string name_;
  at::Tensor weight_;
};

}  // namespace

Graph factorize_layers(Graph graph, std::vector<FactorizedLayer>& report) {
  report.clear();
  const std::size_t count = graph.nodes.size();
  for (std::size_t n = 0; n < count; ++n) {
    if (graph.nodes[n].inputs.size() < 2) continue;
    const std::int64_t made_by = graph.producer(graph.nodes[n].inputs[1]);
    if (made_by < 0) continue;
    const Node quantizer = graph.nodes[static_cast<std::size_t>(made_by)];
    const Tensor* weight = quantizer.inputs.empty() ? nullptr : graph.initializer(quantizer.inputs[0]);
    const std::optional<LowRankFormat> format = low_rank_format(quantizer);
    if (!format || weight == nullptr) continue;
    report.push_back(Split(graph, n, train::to_torch(*weight)).run(*format));
  }
  NNQ_CHECK(!report.empty(), "no layer has a weight of low rank", graph.name,
            "quantize stage: weights = { method = \"deep_twist\", projection = \"svd\" }");
  graph.sort();
  graph = remove_dead_nodes(std::move(graph));
  verify(graph);
  return graph;
}

}  // namespace nnq::methods
