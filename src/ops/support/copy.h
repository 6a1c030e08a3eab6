// Moving elements without computing on them.
#pragma once

#include <cstdint>
#include <cstring>

#include "nnq/op.h"
#include "ops/support/dims.h"

namespace nnq::ops {

/// Copies `dims` elements of `size` bytes between strided layouts; strides are in elements and may be negative or 0.
void copy_strided(std::size_t size, const Dims& dims, const std::byte* from, const Dims& from_strides, std::byte* to,
                  const Dims& to_strides);

/// Evaluation of operators whose output holds input 0's elements in the same order.
Status evaluate_copy(EvalContext& ctx);

/// Fills `count` elements of `size` bytes (1, 2, 4 or 8) with the element at `value`.
void fill(std::size_t size, std::byte* to, std::int64_t count, const std::byte* value);

}  // namespace nnq::ops
