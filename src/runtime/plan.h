// A program made ready for concrete shapes: where each value lies in one arena, and one prepared step after the other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/ceilings.h"
#include "kernels/epilogue/epilogue.h"
#include "kernels/gemm/gemm.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "runtime/shared_weights.h"
#include "runtime/thread_pool.h"

namespace nnq {

/// How a value lies in memory.
enum class Storage : std::uint8_t {
  tensor,  // as its type says, ONNX layout
  bytes,   // codes: one uint8 each, code - min; NHWC or row-major
  bits,    // sign codes: 32-bit words, bit 1 = +1, channels of a position padded to whole words with 0; NHWC
  sums,    // int32; NHWC or row-major
};

struct Slot {
  Shape shape;  // codes and sums: NHWC for rank 4; tensors: ONNX order
  DType dtype = DType::f32;
  Storage storage = Storage::tensor;
  std::size_t bytes = 0;
  std::byte* data = nullptr;
  const Tensor* constant = nullptr;

  std::int64_t channels() const { return shape.empty() ? 1 : shape.back(); }
  /// Number of positions (everything but the last dimension).
  std::int64_t positions() const;
  std::int64_t words() const { return (channels() + 31) / 32; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
};

class Tuner;

/// One step ready to run: pointers resolved, weights packed for the kernel taken.
class PreparedStep {
 public:
  virtual ~PreparedStep() = default;
  virtual Status run(ThreadPool& pool) = 0;
  std::string kernel;                // what runs
  std::vector<std::string> refused;  // what does not, and why
  std::int64_t operations = 0;
  CeilingKind ceiling = CeilingKind::bandwidth;  // what bounds its operations; bandwidth: only its bytes do
  double ceiling_share = 1;                      // of that ceiling's operations that the kernel's instructions can do
  std::int64_t weight_bytes = 0;                 // weights as packed, read once a run
  std::vector<std::int32_t> reads, writes;       // values, where they are not those of the program's step
  const Step* also = nullptr;                    // a later step that this one does, too
  std::size_t scratch_bytes = 0;                 // wanted; `scratch` is set before the first run
  std::byte* scratch = nullptr;
  std::shared_ptr<const void> held;  // shared with other plans of the model, needed while planning
};

/// What makers of prepared steps see. Slots have their shapes; data pointers are set after all steps are made, before
/// they run: steps keep references to slots.
struct PlanContext {
  const Program& program;
  std::vector<Slot>& slots;
  const GemmKernels& kernels;
  Isa isa;
  int threads;
  SharedWeights& weights;
  const std::vector<bool>& before_quantizers;  // by value (before_quantizers.h)
  const std::vector<const Step*>& relus;       // by value (relus_behind.h)
  Tuner* tuner = nullptr;                      // measures which kernel a layer takes; none: the cost model says
  WeightsCache* cache = nullptr;               // has packed weights on disk; none: they are packed

  Slot& slot(std::int32_t value) const { return slots[static_cast<std::size_t>(value)]; }
  bool before_quantizer(std::int32_t value) const { return before_quantizers[static_cast<std::size_t>(value)]; }
  const Step* relu_behind(std::int32_t value) const { return relus[static_cast<std::size_t>(value)]; }
  const CodeType& code(std::int32_t value) const { return program.values[static_cast<std::size_t>(value)].code; }
  /// Weights of a step, made or shared with other plans of the model; `form`: all that they depend on besides the step
  /// and the instruction set.
  template <class T, class F>
  std::shared_ptr<const T> shared(const Step& step, const std::string& form, F&& make) const {
    return weights.get<T>(text(name_of(isa), " ", &step - program.steps.data(), " ", form), std::forward<F>(make),
                          cache);
  }
};

std::unique_ptr<PreparedStep> make_layer(const PlanContext& plan, const Step& step);  // convolution, dense
std::unique_ptr<PreparedStep> make_convert(const PlanContext& plan,
                                           const Step& step);                        // quantize, dequantize
std::unique_ptr<PreparedStep> make_pool(const PlanContext& plan, const Step& step);  // max_pool, sum_pool, subsample
std::unique_ptr<PreparedStep> make_add(const PlanContext& plan, const Step& step);   // add, threshold
std::unique_ptr<PreparedStep> make_concat(const PlanContext& plan, const Step& step);
std::unique_ptr<PreparedStep> make_levels(const PlanContext& plan, const Step& step);  // bucketize, levels
std::unique_ptr<PreparedStep> make_planes(const PlanContext& plan,
                                          const Step& step);  // plane_convolution, plane_dense
std::unique_ptr<PreparedStep> make_vectors(const PlanContext& plan, const Step& step);  // vector_*, recurrent
std::unique_ptr<PreparedStep> make_float(const PlanContext& plan, const Step& step);    // float_op

/// The sums' way out: applies a step's epilogue to whole positions.
class EpilogueWriter {
 public:
  EpilogueWriter(const PlanContext& plan, const Step& step);
  /// Sums [count, stride] of positions first .. first + count - 1 (of the output) go to the output slot.
  void write(const std::int32_t* sums, std::int64_t stride, std::int64_t first, std::int64_t count) const;

 private:
  void thresholds(const std::int32_t* sums, std::int64_t stride, std::int64_t first, std::int64_t count) const;
  void real(const std::int32_t* sums, std::int64_t stride, std::int64_t first, std::int64_t count) const;

  const Epilogue& e_;
  const Slot& out_;
  const Slot* residual_ = nullptr;
  const EpilogueKernels& kernels_;
  std::int64_t channels_;
  Thresholds thresholds_;
  RealCall real_;  // all but pointers and counts
};

/// A plan for one set of input shapes.
struct Plan {
  std::vector<Shape> input_shapes;
  std::vector<Slot> slots;
  std::vector<std::unique_ptr<PreparedStep>> steps;
  std::vector<const Step*> sources;  // the program's step of each prepared step; of several, where it runs
  /// Values that prepared step i reads and writes.
  const std::vector<std::int32_t>& reads(std::size_t i) const {
    return steps[i]->reads.empty() ? sources[i]->inputs : steps[i]->reads;
  }
  const std::vector<std::int32_t>& writes(std::size_t i) const {
    return steps[i]->reads.empty() ? sources[i]->outputs : steps[i]->writes;
  }
  std::vector<Tensor> constants;  // evaluated ahead; slots point into it
  std::unique_ptr<std::byte[]> memory;
  std::size_t peak_bytes = 0;
  bool interpreted = false;  // shapes depend on data: the reference interpreter runs it
};
struct PlanOptions {
  int threads = 1;
  std::size_t memory_cap = 0;     // 0: none
  Tuner* tuner = nullptr;         // none, or what times candidate kernels (autotune.h)
  WeightsCache* cache = nullptr;  // none, or where packed weights are found and noted (weights_cache.h)
};
/// Makes a plan; weights: of the program's model. What `plan` held before is gone, but its weights stay until the new
/// plan has taken what it shares with them.
Status make_plan(const Program& program, SharedWeights& weights, const std::vector<Shape>& input_shapes,
                 const PlanOptions& options, Plan& plan);

}  // namespace nnq
