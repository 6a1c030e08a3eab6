// The packed runtime, C++: load a .nnq once, make as many sessions of it as there are threads that run it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nnq/op.h"
#include "nnq/status.h"
#include "nnq/tensor.h"

namespace nnq {

struct Program;

/// Where nnq keeps what it can make anew: $XDG_CACHE_HOME/nnq, or ~/.cache/nnq; empty when neither variable is set.
std::string cache_folder();

/// An input or output of a model.
struct ModelPort {
  std::string name;
  ValueType type;  // dimensions may be free (batch, height, width)
};

/// A loaded model: immutable, shared by sessions and threads. Weights stay in the mapped file.
class Model {
 public:
  struct Options {
    bool private_copy = false;  // read into memory instead of mapping: immune to the file being truncated while in use;
                                // weights of Session::Options::weights_cache, too
  };
  static Status load(const std::string& file, const Options& options, std::shared_ptr<const Model>& model);
  static Status from_bytes(std::span<const std::byte> bytes, std::shared_ptr<const Model>& model);  // copies
  /// Takes a program as it is, e.g. fresh from lower().
  static Status from_program(Program program, std::shared_ptr<const Model>& model);
  ~Model();

  const std::vector<ModelPort>& inputs() const;
  const std::vector<ModelPort>& outputs() const;
  const std::map<std::string, std::string>& metadata() const;  // input normalisation, labels, recipe hash, ...
  const Program& program() const;
  std::size_t file_bytes() const;
  /// Memory of the weights that sessions of this model have arranged for their kernels and share; 0 without sessions.
  std::size_t packed_bytes() const;

 private:
  struct State;
  explicit Model(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
  friend class Session;
};

/// What one step of a plan does on this machine.
struct StepInfo {
  std::string name;                  // layer
  std::string kind;                  // "conv", "quantize", "float Softmax", ...
  std::string kernel;                // "binary_conv_avx512", ...
  std::int64_t operations = 0;       // 2 * multiply-accumulates
  double median_microseconds = 0;    // filled by profile()
  double best_microseconds = 0;      // likewise: what the step takes when nothing disturbs it
  std::vector<std::string> refused;  // "avx512: CPU has no vpopcntdq", faster kernels that declined, with the reason
  // What limits the step: its operations against the ceiling of its kind, its bytes against the memory's.
  std::string limit;                  // "int8", "narrow", "binary", "lookup", "float" (kernels/ceilings.h), or "memory"
  double limit_share = 1;             // of that ceiling's operations that the kernel's instructions can do
  std::int64_t activation_bytes = 0;  // inputs read and outputs written
  std::int64_t weight_bytes = 0;      // weights as packed for the kernel, read once a run
  std::int32_t step = 0;              // number of the step in the program
  Shape input_shape;                  // of the first input; images of codes NHWC, tensors in ONNX order
};

/// Runs a model. Owns its planned memory; not for concurrent use (a second thread gets StatusCode::busy).
class Session {
 public:
  struct Options {
    int threads = 1;             // results do not depend on it
    std::size_t memory_cap = 0;  // bytes of planned memory allowed; 0: no cap
    /// Times the kernels that could run a layer and takes the fastest, instead of estimating. What was measured is kept
    /// by CPU model under XDG_CACHE_HOME/nnq (or ~/.cache/nnq). Results do not depend on it.
    bool autotune = false;
    /// A folder (made when it is missing) where weights are kept as kernels want them. The first process packs and
    /// writes them, later ones map them: no packing, and one copy in memory for all. Files that are damaged or of
    /// another version are ignored and written anew; where that fails, too, weights are packed in memory: notes() say
    /// so. Results do not depend on it. "": off. A usual place: cache_folder(). Models made in memory have none.
    std::string weights_cache = {};
  };
  static Status create(std::shared_ptr<const Model> model, const Options& options, std::unique_ptr<Session>& session);
  ~Session();

  /// Plans for these input shapes ahead of run(); run() does it by itself when shapes change.
  Status prepare(std::span<const Shape> input_shapes);
  /// Runs on inputs in the model's order. `outputs` is resized; tensors of the right type and shape are reused, so that
  /// a second run with the same shapes allocates nothing.
  Status run(std::span<const Tensor> inputs, std::vector<Tensor>& outputs);

  std::size_t peak_bytes() const;  // planned memory of the last plan
  const char* isa() const;         // "avx512", "avx2", "portable"
  /// What planning has to say: a cache of times or weights that could not be read or written. Empty: nothing.
  const std::vector<std::string>& notes() const;
  /// Steps of the last plan; times are zero until profile() ran.
  std::vector<StepInfo> steps() const;
  /// Runs `repeat` times and fills the median and the best time of every step.
  Status profile(std::span<const Tensor> inputs, int repeat, std::vector<StepInfo>& steps, double& median_milliseconds);

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace nnq
