// ONNX Runtime's side: a long-running Node process (npm brings no C header), one intra-op thread.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nnq/graph.h"
#include "nnq/tensor.h"

namespace nnq::peers {

class OnnxRuntime {
 public:
  /// Starts the process; models and tensors are kept in `folder`. Throws nnq::Error when it cannot.
  explicit OnnxRuntime(const std::filesystem::path& folder);
  ~OnnxRuntime();
  OnnxRuntime(const OnnxRuntime&) = delete;
  OnnxRuntime& operator=(const OnnxRuntime&) = delete;

  /// A loaded model; dropped with its last copy. Must not outlive the process.
  class Loaded;
  std::shared_ptr<Loaded> load(const std::filesystem::path& model, const std::map<std::string, Tensor>& inputs);
  /// The same of a graph, exported by nnq, or of the bytes of a model.
  std::shared_ptr<Loaded> load_graph(const Graph& graph, const std::map<std::string, Tensor>& inputs);
  std::shared_ptr<Loaded> load_bytes(const std::string& model, const std::map<std::string, Tensor>& inputs);

  static std::string version();

 private:
  friend class Loaded;
  nlohmann::json ask(const nlohmann::json& command);
  std::filesystem::path folder_;
  int pid_ = -1, next_ = 0;
  FILE *to_ = nullptr, *from_ = nullptr;
};

class OnnxRuntime::Loaded {
 public:
  Loaded(OnnxRuntime& runtime, int id) : runtime_(runtime), id_(id) {}
  ~Loaded();
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  std::vector<Tensor> outputs();
  /// Microseconds of one run, the call from JavaScript included, over at least `least_ms`.
  double sample(double least_ms);

 private:
  OnnxRuntime& runtime_;
  int id_;
};

/// A sample function of one run.
std::function<double(double)> sampled(std::shared_ptr<OnnxRuntime::Loaded> loaded);

}  // namespace nnq::peers
