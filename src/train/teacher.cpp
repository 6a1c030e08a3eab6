#include "train/teacher.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <optional>

#include "core/random.h"
#include "nnq/error.h"
#include "train/carried_state.h"
#include "train/layer_matching.h"
#include "train/loss.h"
#include "train/score_memory.h"

namespace nnq::train {

std::string network_hash(const Graph& graph) {
  std::string text;
  for (const Node& node : graph.nodes) {
    text += node.domain + "." + node.op;
    for (const std::string& input : node.inputs) text += " " + input;
    for (const std::string& output : node.outputs) text += " > " + output;
    text += "\n";
  }
  std::uint64_t hash = hash64(text);
  for (const auto& [name, tensor] : graph.initializers) {
    const auto* bytes = reinterpret_cast<const char*>(tensor.data());
    hash = hash64(name + to_string(tensor.shape()), hash);
    if (tensor.dtype() != DType::string) hash = hash64({bytes, tensor.bytes()}, hash);
  }
  return fmt::format("{:016x}", hash);
}

struct Teacher::State {
  Executor executor;
  std::string input;
  DistillationOptions options;
  std::optional<LayerMatching> matching;
  std::optional<ScoreMemory> memory;
  std::optional<CarriedState> carried;

  at::Tensor image_scores(const at::Tensor& images) {
    const auto compute = [this](const at::Tensor& x) {
      const Executor::Observer watch = matching ? matching->watch_teacher() : Executor::Observer();
      return class_scores(executor.forward({{input, x}}, false, watch).front()).detach();
    };
    return memory ? memory->scores(images, compute) : compute(images);
  }

  at::Tensor word_scores(const at::Tensor& words) {
    std::map<std::string, at::Tensor> inputs = {{input, words}};
    carried->add_to(inputs);
    const Executor::Observer watch = matching ? matching->watch_teacher() : Executor::Observer();
    const std::vector<at::Tensor> outputs = executor.forward(inputs, false, watch);
    carried->take_from(outputs);
    return outputs.front().flatten(0, -2).detach();
  }
};

Teacher::Teacher(const DistillationOptions& options, const Graph& student, std::uint64_t seed,
                 const TeacherInput& input) {
  NNQ_CHECK(options.teacher != nullptr && !options.teacher->inputs.empty() && !options.teacher->outputs.empty(),
            "a teacher is a network of one input", "teacher");
  NNQ_CHECK(options.weight >= 0 && options.weight <= 1, "the share of the teacher must be in 0 .. 1", "teacher");
  NNQ_CHECK(options.temperature > 0, "the temperature must be above 0", "teacher");
  NNQ_CHECK(options.match_weight >= 0, "the weight of matched layers must not be negative", "teacher");
  const Graph& graph = *options.teacher;
  state_ = std::make_unique<State>(State{Executor(graph, {.seed = seed}), graph.inputs[0].name, options, {}, {}, {}});
  if (input.streams > 0) state_->carried.emplace(graph, input.streams);
  NNQ_CHECK(graph.inputs.size() == 1 + (state_->carried ? state_->carried->size() : 0),
            "a teacher is a network of one input", "teacher");
  if (!options.match_layers.empty()) state_->matching.emplace(options.match_layers, student, graph);
  if (input.come_again && input.streams == 0 && !state_->matching) state_->memory.emplace();
}

Teacher::~Teacher() = default;

void Teacher::start_again() {
  if (state_->carried) state_->carried->clear();
}

void Teacher::save(std::map<std::string, Tensor>& tensors) const {
  if (state_->memory) state_->memory->save(tensors);
  if (state_->carried) state_->carried->save("teacher/carried/", tensors);
}

void Teacher::restore(const std::map<std::string, Tensor>& tensors) {
  if (state_->memory) state_->memory->restore(tensors);
  if (state_->carried) state_->carried->restore("teacher/carried/", tensors);
}

Executor::Observer Teacher::watch_student() {
  return state_->matching ? state_->matching->watch_student() : Executor::Observer();
}

at::Tensor Teacher::mix(const at::Tensor& loss, const at::Tensor& student_scores, const at::Tensor& input) {
  at::Tensor scores;
  try {
    const at::NoGradGuard no_gradient;
    scores = state_->carried ? state_->word_scores(input) : state_->image_scores(input);
  } catch (const Error& error) {
    throw error.inside("teacher");
  }
  NNQ_CHECK(
      scores.sizes() == student_scores.sizes(),
      "gives scores " + to_string(scores.sizes().vec()) + ", the student " + to_string(student_scores.sizes().vec()),
      "teacher", "both need the same classes");
  const DistillationOptions& options = state_->options;
  const at::Tensor mixed = distillation_loss(loss, student_scores, scores, options.weight, options.temperature);
  return state_->matching ? mixed + state_->matching->loss() * options.match_weight : mixed;
}

}  // namespace nnq::train
