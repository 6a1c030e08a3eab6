// The door to LibTorch: what the command line asks of libnnq_train.so, which it loads only when a verb needs it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nnq/dataset.h"
#include "nnq/graph.h"

namespace nnq {

struct MethodParameter {
  std::string name, default_value, unit, range, description;
};
/// One row of `nnq methods`, filled by the method's registration.
struct MethodInfo {
  std::string id;        // "dorefa"
  std::string title;     // "DoReFa-Net"
  std::string paper;     // authors, year, arXiv number
  std::string kind;      // "quantizer"
  std::string encoding;  // "uniform", "bit planes", ...
  std::string roles;     // "weights 1..8, activations 1..8, gradients 2..8"
  std::vector<MethodParameter> parameters;
};

/// What `train` and `compress` end in (the keys of design.md's --json).
struct RunResult {
  std::string run;               // run directory
  std::filesystem::path model;   // final ONNX
  std::filesystem::path packed;  // final .nnq, empty when the run made none
  std::size_t bytes = 0, float_bytes = 0;
  std::string metric = "accuracy";
  double value = 0, float_value = 0;
  bool met = true;
  double seconds = 0;
  bool interrupted = false;  // Ctrl-C / SIGTERM: checkpoint written, --resume goes on
};

struct TrainRequest {
  std::filesystem::path recipe;
  std::vector<std::string> overrides;                  // "train.epochs=3"
  std::optional<std::filesystem::path> run_directory;  // none: runs/<name>-<n>
  bool resume = false;
  int threads = 0;  // 0: all cores
};

struct CompressRequest {
  std::filesystem::path model, recipe;          // recipe may be empty
  std::optional<std::filesystem::path> output;  // also the packed model, here
  std::string method = "uniform";
  int weights = 8, activations = 8;
  std::string data;
  double max_drop = 1.0;         // points of accuracy
  std::vector<float> mean, std;  // normalisation of the input; empty: from the model's metadata, else found by trying
  std::optional<int> epochs;     // fine-tuning at most, 0 to 100000: 0 = post-training only; none = chosen by the bits
  std::vector<std::string> overrides;
  std::optional<std::filesystem::path> run_directory;
  bool resume = false;
  int threads = 0;
};

/// Implemented once in src/recipe/train_api.cpp; `nnq_train_api` is the library's only exported C symbol.
class TrainApi {
 public:
  virtual ~TrainApi() = default;
  virtual std::vector<MethodInfo> methods() const = 0;
  virtual RunResult train(const TrainRequest& request) const = 0;
  /// The effective recipe of a request: what its run directory holds as recipe.toml. Throws nnq::Error.
  virtual std::string recipe_text(const TrainRequest& request) const = 0;
  virtual RunResult compress(const CompressRequest& request) const = 0;
  /// Logits of a graph over batches on LibTorch: outputs [n, classes...] in order; `observe` sees every value of every
  /// batch.
  virtual std::vector<Tensor> evaluate(
      const Graph& graph, const Tensor& input, int threads,
      const std::function<void(const std::string&, const Tensor&)>& observe = {}) const = 0;
};

}  // namespace nnq

extern "C" const nnq::TrainApi* nnq_train_api();
