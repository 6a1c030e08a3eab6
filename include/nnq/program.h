// The program: what lowering makes of a deployable graph, what a .nnq file holds, what interpreter and runtime execute.
// docs/program.md states the integer semantics of every step; src/runtime/interpret_program.cpp is their definition in
// code.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nnq/node.h"
#include "nnq/op.h"
#include "nnq/real_planes.h"
#include "nnq/status.h"
#include "nnq/tensor.h"

namespace nnq {

/// How the elements of a program value are to be understood.
enum class ValueKind : std::uint8_t {
  tensor,       // an ONNX tensor (float32, int64, ...) in ONNX layout (NCHW, row-major)
  codes,        // integers min .. max; rank 4: NHWC, other ranks row-major
  accumulator,  // int32; rank 4: NHWC
};

/// The set of integers a code may be. sign: only -1 and +1 (stored as one bit, 1 = +1).
struct CodeType {
  bool sign = false;
  std::int32_t min = 0, max = 255;
  int bits = 8;
  bool operator==(const CodeType&) const = default;
};

struct ProgramValue {
  std::string name;
  ValueKind kind = ValueKind::tensor;
  ValueType type;  // shape in ONNX order (NCHW) whatever the layout; dimensions may be free
  CodeType code;   // kind == codes
};

/// Integer weights [out, kernel_h, kernel_w, in/groups] (fully connected: [out, 1, 1, in]), packed as bit planes over
/// that order: plane k at k * plane_bytes, element i at byte i/8, bit i%8. value = offset + sum_k plane_scale[k] *
/// bit_k.
struct PackedWeights {
  int bits = 1;  // planes
  std::int32_t offset = -1;
  std::vector<std::int32_t> plane_scale;                   // [bits]
  std::shared_ptr<const std::vector<std::uint8_t>> owned;  // memory, unless it lies in a mapped file
  const std::uint8_t* data = nullptr;                      // bits * plane_bytes() bytes, 64-byte aligned in a file
  std::int64_t count = 0;                                  // elements
  int nominal_bits = 0;  // of the encoding as it was placed (information only); 0: not known

  std::size_t plane_bytes() const { return static_cast<std::size_t>(count / 8 + (count % 8 != 0 ? 1 : 0)); }
  bool binary() const { return bits == 1 && offset == -1 && plane_scale.size() == 1 && plane_scale[0] == 2; }
  /// Whether they are two planes of -1, 0 and +1 and nothing else. Reads them.
  bool ternary() const;
  /// All integers, in the order above.
  std::vector<std::int8_t> unpack() const;
  /// The values among them, ascending.
  std::vector<std::int8_t> levels() const;
};

/// What happens to each int32 sum s of output channel c. Float operations are single IEEE operations, never contracted.
struct Epilogue {
  enum class Kind : std::uint8_t {
    none,    // s itself (accumulator)
    affine,  // y = round(round(float(s) * a[c]) + b[c]), then + r with a residual, then max(0) if relu: float32 tensor
    thresholds,  // code = first + step * number of passed thresholds (see below)
    requantize,  // affine as above, then clamp(rint(y / scale), min, max): codes (sign codes: y >= 0 ? +1 : -1)
  };
  Kind kind = Kind::none;
  // Numbers a channel. Steps without weights (dequantize, threshold, add, sum_pool) may have one for all: a, b,
  // direction with its thresholds.
  std::vector<float> a, b;          // affine, requantize: [channels]
  bool relu = false;                // affine, requantize
  float scale = 1;                  // requantize
  std::int32_t min = 0, max = 255;  // requantize
  /// The step's second input, when it has one, is added: r = round(round(float(v) * residual_a[c]) + residual_b[c]),
  /// where v are codes or accumulators of the output's shape; y = round(y + r).
  std::vector<float> residual_a, residual_b;  // [channels]; empty: no residual
  /// thresholds: `levels` per channel, ascending in order of passing. Increasing channel (direction +1): passed when s
  /// >= t. Decreasing (direction -1): passed when s <= t, thresholds then descend. Code = first + step * passed; sign
  /// codes: first -1, step 2.
  std::int32_t levels = 0, first = 0, step = 1;
  std::vector<std::int32_t> thresholds;  // [channels * levels]; INT32_MAX / INT32_MIN never pass in their direction
  std::vector<std::int8_t> direction;    // [channels], +1 or -1
};

struct Window {  // of a convolution or pooling; fully connected: all defaults
  std::int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  std::int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
};

enum class StepKind : std::uint8_t {
  quantize,     // float32 tensor -> codes: clamp(rint(x / scale), min, max); sign codes: x >= 0 ? +1 : -1
  dequantize,   // codes or accumulator -> float32 tensor: round(round(float(v) * a[c]) + b[c])  (epilogue.a, .b; one
                // value or per channel)
  convolution,  // codes -> by epilogue; border positions have the value pad_value (may lie outside the code set: 0 for
                // sign codes)
  dense,        // codes [n, in] (rank 4: flattened NHWC) -> by epilogue
  threshold,    // codes or accumulator -> codes: the epilogue (thresholds, requantize) on what is there
  max_pool,   // codes -> codes or accumulator -> accumulator; border positions never win; channels in min_channels take
              // the minimum
  sum_pool,   // codes -> float32 tensor: round(float(sum) / float(count)), then * a + b as dequantize
  subsample,  // codes -> codes: every stride-th position from (start), zero channels before and behind
  add,        // two codes or accumulators of one shape -> by epilogue on their sums; out_channels channels
  concat,     // codes -> codes: channels side by side
  float_op,   // any operator of op.h on tensors
  bucketize,  // float32 tensor -> codes: the number of thresholds reached (planes.thresholds)
  levels,     // codes -> float32 tensor: planes.levels[code - min]
  plane_convolution,  // codes -> float32 tensor or codes: codes and weights are sums of bit planes with real scales
  plane_dense,        // (planes); border positions stand for the real value 0; epilogue affine or requantize
  // Multi-bit vectors: codes [.., n] and beside them a tensor of scales [.., bits], value = sum of +-scale. Uniform
  // vectors: codes -128 .. 127 and one scale [.., 1], value = scale * code.
  vector_lookup,    // row numbers (int64 tensor) -> vectors: rows of a table of signs (weights, planes.weight_scale)
  vector_levels,    // vectors -> float32 tensor
  vector_dense,     // vectors -> float32 tensor: products with the rows of a matrix, plus epilogue.b
  recurrent,        // vectors, [state, [cell]] -> vectors, [state, [cell]]: an LSTM or GRU over time (recurrence)
  vector_quantize,  // float32 tensor [.., n] -> vectors, scales found on line (recurrence: uniform, state_*)
};
inline constexpr StepKind last_step_kind = StepKind::vector_quantize;

/// What a recurrent step holds beside the common fields: there `weights` and `planes` are those of the input,
/// out_channels gates * hidden and in_channels the inputs.
struct Recurrence {
  bool gru = false;  // gates z, r, h; otherwise an LSTM with gates i, o, f, c
  std::int64_t hidden = 0;
  bool uniform = false;                           // vectors are uniform: 8 bits, no cycles
  std::int32_t state_bits = 1, state_cycles = 2;  // of the state's alternating decomposition
  PackedWeights weights;                          // of the state: [gates * hidden][hidden]
  RealPlanes planes;                              // its weight_scale, weight_offset, weight_signs
  std::vector<float> bias, state_bias;            // [gates * hidden] of both products; an LSTM has both in `bias`
  std::int64_t gates() const { return gru ? 3 : 4; }
};

struct Step {
  StepKind kind = StepKind::float_op;
  std::string name;                  // the layer it came from
  std::vector<std::int32_t> inputs;  // value numbers; -1: left out
  std::vector<std::int32_t> outputs;
  // convolution, dense
  PackedWeights weights;
  std::int64_t out_channels = 0, in_channels = 0, groups = 1;
  std::int32_t pad_value = 0;
  std::int32_t accumulator_min = 0, accumulator_max = 0;  // proven from the weights and the code range
  // convolution, max_pool, sum_pool (kernel 0 x 0 = the whole plane)
  Window window;
  bool count_pad = false;                  // sum_pool: divide by the kernel's size, not by the positions inside
  std::vector<std::uint8_t> min_channels;  // max_pool: [channels] or empty
  Epilogue epilogue;
  RealPlanes planes;                                     // bucketize, levels, plane_*, vector_*, recurrent
  Recurrence recurrence;                                 // recurrent
  float scale = 1;                                       // quantize
  std::int64_t start_h = 0, start_w = 0;                 // subsample; strides in window
  std::int64_t channels_before = 0, channels_after = 0;  // subsample
  // float_op
  Node node;  // its inputs/outputs by value name
  std::int64_t opset = kOnnxOpset;
  std::string note;  // why it was lowered as it was, for `inspect`
};

/// Flat list of steps over values. Constants are values of kind tensor with data.
struct Program {
  std::vector<ProgramValue> values;
  std::map<std::int32_t, Tensor> constants;   // by value number
  std::vector<Step> steps;                    // in execution order
  std::vector<std::int32_t> inputs, outputs;  // value numbers; kind tensor
  std::map<std::string, std::string> metadata;
  std::shared_ptr<const void> storage;  // keeps a mapped file alive while packed weights point into it

  std::int32_t add_value(ProgramValue value) {
    values.push_back(std::move(value));
    return static_cast<std::int32_t>(values.size()) - 1;
  }
};

/// Everything a loader or lowering must guarantee before a step may run: numbers in range, values made before use,
/// sizes that agree, sets of codes that fit. Runs on any program, however hostile.
Status check_program(const Program& program);

const char* name_of(StepKind kind);

/// The reference interpreter: plain loops, any shapes. Outputs in program order. `observe`, when set, sees every value
/// made, in ONNX layout (codes and accumulators as int32).
Status interpret_program(const Program& program, std::span<const Tensor> inputs, std::vector<Tensor>& outputs,
                         const std::function<void(std::int32_t value, const Tensor&)>& observe = {});

/// Reads and verifies a .nnq image; `storage` must keep `bytes` alive and is taken into the program.
Status parse_program(std::span<const std::byte> bytes, std::shared_ptr<const void> storage, Program& program);
/// The image of a program; the same program gives the same bytes.
std::vector<std::byte> serialize_program(const Program& program);

}  // namespace nnq
