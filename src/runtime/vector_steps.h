// Steps on multi-bit vectors (docs/program.md, "Multi-bit vectors"): what checker, interpreter and planner call.
#pragma once

#include <span>

#include "nnq/program.h"

namespace nnq {

/// vector_lookup, vector_levels, vector_dense, recurrent, vector_quantize.
bool has_vectors(StepKind kind);

/// Whether vectors of such codes are uniform; scales of one vector.
bool is_uniform(const CodeType& code);
std::int64_t scales_of(const CodeType& code);

/// Sizes, kinds and ranges of such a step, as check_program promises.
Status check_vectors(const Program& program, const Step& step);

/// Shapes of outputs; `code`, `scales`: of the vectors read.
struct VectorShapes {
  Shape codes, scales;  // of vectors made; vector_levels, vector_dense: `codes` is the tensor's
  Shape state;          // recurrent: of state and cell
};
/// Refuses shapes that do not fit together. `inputs`: of the step's inputs, empty where left out.
Status vector_shapes(const Program& program, const Step& step, std::span<const Shape> inputs, VectorShapes& out);

/// A row of a lookup's table, counted from the end when negative; an error outside.
Status lookup_row(const Step& step, std::int64_t number, std::int64_t& row);
/// Codes of a table's row: in_channels of them.
void lookup_codes(const Step& step, std::int64_t row, std::uint8_t* codes);
/// level[code] of a vector with these scales, for 2^bits codes: -(sum of scales), then 2 scale[k] for each bit set.
void vector_levels(std::span<const float> scales, float* levels);

/// What the interpreter keeps of a value.
struct VectorOutputs {
  std::vector<std::int32_t> codes;
  Tensor scales, state, cell;
};
/// The definitions. Codes row-major.
Status interpret_lookup(const Step& step, const Tensor& numbers, VectorOutputs& out);
void interpret_quantize(const Step& step, const Tensor& x, VectorOutputs& out);
void interpret_levels(std::span<const std::int32_t> codes, const Tensor& scales, bool uniform, Tensor& y);
void interpret_dense(const Step& step, std::span<const std::int32_t> codes, const Tensor& scales, bool uniform,
                     Tensor& y);
void interpret_recurrent(const Step& step, std::span<const std::int32_t> codes, const Tensor& scales,
                         const Tensor* state, const Tensor* cell, VectorOutputs& out);

}  // namespace nnq
