// Models as verbs take them: an ONNX graph or a packed .nnq, told apart by the file's first bytes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nnq/dataset.h"
#include "nnq/graph.h"
#include "nnq/runtime.h"

namespace nnq::cli {

struct LoadedModel {
  std::string file;
  std::size_t bytes = 0;                // of the file
  Graph graph;                          // of an .onnx
  std::shared_ptr<const Model> packed;  // of a .nnq; null for an .onnx

  const std::map<std::string, std::string>& metadata() const;
  std::vector<ModelPort> inputs() const;
  /// The packed model; an ONNX graph is lowered on the fly. Throws nnq::Error naming the file and the layer.
  std::shared_ptr<const Model> deployed() const;
};

/// Throws nnq::Error naming the file when it is missing, damaged, or neither ONNX nor .nnq.
LoadedModel load_model(const std::string& file);

std::unique_ptr<Session> make_session(const std::shared_ptr<const Model>& model, int threads, const std::string& file);
std::unique_ptr<Session> make_session(const std::shared_ptr<const Model>& model, const Session::Options& options,
                                      const std::string& file);
/// What the session's planning has to say, to standard error.
void print_notes(const Session& session);

/// What the model's metadata say about its input, each part replaced where the user gave another.
Preprocessing preprocessing_for(const std::map<std::string, std::string>& metadata, const std::vector<float>& mean,
                                const std::vector<float>& std);

/// Throws nnq::Error unless mean and std are one value or one a channel of the model's first input, [N, C, H, W].
void check_channels(const Preprocessing& preprocessing, const std::vector<ModelPort>& inputs);

/// Input types with concrete shapes by name, from "input=1,3,32,32" (or "1,3,32,32" for a model of one input).
/// Throws nnq::Error for unknown inputs and for shapes that contradict the declared ones.
std::map<std::string, Shape> parse_shapes(const std::vector<std::string>& texts, const std::vector<ModelPort>& inputs);

/// Shapes of all inputs: given ones, otherwise declared ones with a free leading dimension set to `batch`. Throws
/// nnq::Error naming the input whose shape stays open.
std::vector<Shape> input_shapes(const std::vector<ModelPort>& inputs, const std::map<std::string, Shape>& given,
                                std::int64_t batch);

/// Standard-normal floats, zeros for every other type; the same for the same seed.
std::vector<Tensor> random_inputs(const std::vector<ModelPort>& inputs, const std::vector<Shape>& shapes,
                                  std::uint64_t seed);

/// Median time of one session.run(inputs) in milliseconds: warmed up, at least `least` runs, about `seconds` in all.
double median_milliseconds(Session& session, const std::vector<Tensor>& inputs, double seconds, int least = 5);

}  // namespace nnq::cli
