#include "train/layer_matching.h"

#include <ATen/ATen.h>

#include "core/text.h"
#include "nnq/error.h"

namespace nnq::train {
namespace {

/// Fills an entry of `kept` a value; other values are not of interest.
Executor::Observer keep_in(std::map<std::string, at::Tensor>& kept) {
  return [&kept](const std::string& value, const at::Tensor& tensor) {
    if (const auto it = kept.find(value); it != kept.end()) it->second = tensor;
  };
}

}  // namespace

LayerMatching::LayerMatching(const std::string& glob, const Graph& student, const Graph& teacher) {
  std::map<std::string, std::string> taught;
  for (const Node& node : teacher.nodes)
    if (!node.outputs.empty() && glob_match(glob, node.name)) taught[node.name] = node.outputs[0];
  for (const Node& node : student.nodes) {
    const auto it = node.outputs.empty() || node.is("Quantizer", kNnqDomain) ? taught.end() : taught.find(node.name);
    if (it == taught.end()) continue;
    layers_[node.name] = {node.outputs[0], it->second};
    student_[node.outputs[0]];
    teacher_[it->second];
  }
  NNQ_CHECK(!layers_.empty(), "no layer '" + glob + "' is in both the network and its teacher", "match_layers",
            "see `nnq inspect` for the names of layers");
}

Executor::Observer LayerMatching::watch_student() { return keep_in(student_); }
Executor::Observer LayerMatching::watch_teacher() { return keep_in(teacher_); }

at::Tensor LayerMatching::loss() {
  at::Tensor sum;
  for (const auto& [name, sides] : layers_) {
    at::Tensor& student = student_.at(sides.student);
    at::Tensor& teacher = teacher_.at(sides.teacher);
    NNQ_CHECK(student.defined() && teacher.defined() && student.sizes() == teacher.sizes(),
              "has another shape in the teacher", "layer '" + name + "'", "leave it out of match_layers");
    const at::Tensor t = teacher.detach();
    const at::Tensor power = t.square().sum().clamp_min(1e-12);
    const at::Tensor error = (student - t).square().sum() / power;
    sum = sum.defined() ? sum + error : error;
    student.reset();
    teacher.reset();
  }
  return sum / static_cast<double>(layers_.size());
}

}  // namespace nnq::train
