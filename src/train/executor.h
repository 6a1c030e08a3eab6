// Runs a Graph on LibTorch with autograd. Torch-free header (at::Tensor is only named).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nnq/graph.h"
#include "train/quantizer.h"
#include "train/surrogate.h"

namespace nnq::train {

/// A trainable tensor of the graph (float initializer of a Conv, Gemm, normalisation, ..., or quantizer state).
struct Parameter {
  std::string name;  // initializer name
  at::Tensor* tensor = nullptr;
  bool decay = true;      // false: biases, normalisation, quantizer state
  bool trainable = true;  // false: running statistics and other buffers (saved, not optimised)
  double learning_rate_scale = 1;
  Quantizer* weight_quantizer = nullptr;  // the quantizer on this weight, for after_step
  bool quantizer_state = false;           // belongs to a quantizer, not to a layer
};

class Executor {
 public:
  struct Options {
    std::uint64_t seed = 1;
    bool channels_last = true;
    std::string device = "cpu";
  };
  Executor(Graph graph, const Options& options);
  ~Executor();
  Executor(Executor&&) noexcept;

  using Observer = std::function<void(const std::string& value, const at::Tensor& tensor)>;
  /// Graph outputs in order. Training mode: batch statistics, dropout, stochastic quantizers; gradients are recorded
  /// when at::GradMode is on.
  std::vector<at::Tensor> forward(const std::map<std::string, at::Tensor>& inputs, bool training,
                                  const Observer& observe = {});

  std::vector<Parameter> parameters();
  /// The name of the only input. Throws nnq::Error when the graph has several.
  std::string input_name() const;
  /// Quantizers by node name.
  std::map<std::string, Quantizer*> quantizers();
  void set_step(std::int64_t step);
  /// Share of the training stage that is done, 0 to 1; handed to every quantizer.
  void set_progress(double progress);
  /// The gradient through quantized activations from now on, e.g. of an attack.
  void set_surrogate(const Surrogate& surrogate);
  /// Whether quantizers with a true parameter `stochastic` draw in evaluation too (fresh in every pass, by seed and
  /// step).
  void set_drawing(bool drawing);
  /// Whether there is such a quantizer.
  bool stochastic() const;
  /// Runs batches through the graph and calibrates every quantizer that has data-dependent state (weights directly,
  /// activations in graph order in one pass each batch; while observing, quantizers that keep magnitudes are disabled).
  void calibrate(const std::vector<at::Tensor>& batches);
  /// Whether all quantizers do (Quantizer::keeps_magnitude).
  bool keeps_magnitude() const;

  /// The graph with current parameter and state values (for checkpoints).
  Graph graph() const;
  /// The deployable graph: nnq::freeze with this executor's quantizers.
  Graph frozen() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// nnq::Tensor <-> at::Tensor (copies).
at::Tensor to_torch(const Tensor& tensor);
Tensor from_torch(const at::Tensor& tensor);

}  // namespace nnq::train
