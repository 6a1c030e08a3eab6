// Elements of any type through one of four wide types, so that an operator's loop exists four times and not thirteen.
//
// float32, float16, bfloat16 -> float; float64 -> double; signed integers, bool and small unsigned -> int64; uint64 ->
// uint64. Storing an integer keeps the low bits (two's complement, as NumPy); storing a float in an integer type
// truncates, saturates and makes NaN 0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nnq/tensor.h"

namespace nnq::ops {

/// Elements handled at once by staged loops; buffers of this size live on the stack.
inline constexpr std::int64_t kBlock = 256;

/// Reads `count` elements at data + i * step elements into out[0..count). W: float, double, int64_t, uint64_t.
template <class W>
void load(DType type, const std::byte* data, std::int64_t offset, std::int64_t step, std::int64_t count, W* out);
/// Writes in[0..count) to data + offset, contiguous.
template <class W>
void store(DType type, std::byte* data, std::int64_t offset, std::int64_t count, const W* in);

/// One element, converted.
template <class W>
W at(const TensorView& t, std::int64_t i) {
  W v{};
  load<W>(t.dtype, t.data, i, 1, 1, &v);
  return v;
}

inline bool is_float(DType t) { return t == DType::f32 || t == DType::f64 || t == DType::f16 || t == DType::bf16; }

/// Calls f with a value of the wide type of `type`.
template <class F>
void with_wide(DType type, F&& f) {
  if (type == DType::f64)
    f(double{});
  else if (type == DType::u64)
    f(std::uint64_t{});
  else if (is_float(type))
    f(float{});
  else
    f(std::int64_t{});
}

/// Converts every element of `from` to the type of `to` (same count).
void convert(const TensorView& from, const TensorView& to);

}  // namespace nnq::ops
