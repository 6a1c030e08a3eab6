// Ways to compute a model's outputs, and what verbs that predict build on them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/models.h"

namespace nnq::cli {

/// Sees a value of the model as it is made: its name, the tensor in ONNX layout, and whether its numbers are real,
/// codes of a quantizer, or sums of products of codes.
enum class Holds { real, codes, sums };
using Observer = std::function<void(const std::string& name, const Tensor& value, Holds holds)>;

class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string name() const = 0;
  /// Outputs in the model's order for one input tensor. With an observer, slower engines may stand in for faster ones;
  /// results are the same.
  virtual std::vector<Tensor> run(const Tensor& input, const Observer& observe = {}) = 0;
};

/// kind: "torch" (.onnx), "program" (packed runtime; .onnx is lowered), "interpreter" (reference, plain loops), or
/// "auto": "program" for a .nnq; "torch" for an .onnx, or "program" in builds without the training library.
/// "graph" never lowers an .onnx: "torch", or "interpreter" in such builds. `model` must outlive the engine. threads 0:
/// all cores.
std::unique_ptr<Engine> make_engine(const std::string& kind, const LoadedModel& model, int threads);

/// The classes predicted for the first `count` samples (argmax of the first output, ties to the lowest class), with a
/// progress bar.
std::vector<std::int64_t> predict(Engine& engine, const LoadedModel& model, const Samples& samples,
                                  const Preprocessing& preprocessing, std::int64_t count);

/// The batch of `samples` that the model's only input takes: preprocessed, reshaped where the model wants flat
/// vectors. Throws nnq::Error when the samples do not fit.
Tensor make_batch(const LoadedModel& model, const Samples& samples, const Preprocessing& preprocessing,
                  std::span<const std::int64_t> indices);

/// Row-wise argmax of an output [n, classes, 1...].
std::vector<std::int64_t> argmax_rows(const Tensor& output, const std::string& where);

/// Percent of the first predictions.size() labels that were predicted.
double accuracy(const std::vector<std::int64_t>& predictions, const Samples& samples);
/// Percent of equal predictions.
double agreement(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b);

/// min(limit, samples); limit 0: all.
std::int64_t sample_count(const Samples& samples, std::int64_t limit);
/// "train" or "test". Throws nnq::Error otherwise.
Split parse_split(const std::string& text);

}  // namespace nnq::cli
