// Element-wise loops over tensors of any type: float32, float64, int64 and uint64 run in place, other types pass
// through a block of a wide type on the stack.
#pragma once

#include <algorithm>
#include <array>

#include "ops/support/dims.h"
#include "ops/support/elements.h"

namespace nnq::ops {

/// Pointer to `count` elements as W: the tensor's own memory when it holds W contiguously, else converted into
/// `buffer`.
template <class W>
const W* wide_row(const TensorView& t, std::int64_t offset, std::int64_t step, std::int64_t count, W* buffer) {
  if (t.dtype == dtype_of<W>() && step == 1) return t.as<W>() + offset;
  load<W>(t.dtype, t.data, offset, step, count, buffer);
  return buffer;
}

/// out[i] = f(x[i]) in the wide type of x. `f` is generic over float, double, int64_t, uint64_t.
template <class F>
void map_unary(const TensorView& x, const TensorView& y, const F& f) {
  const std::int64_t count = x.count();
  with_wide(x.dtype, [&](auto wide) {
    using W = decltype(wide);
    W in[kBlock], out[kBlock];
    for (std::int64_t i = 0; i < count; i += kBlock) {
      const std::int64_t n = std::min(kBlock, count - i);
      const W* a = wide_row<W>(x, i, 1, n, in);
      W* b = y.dtype == dtype_of<W>() ? y.as<W>() + i : out;
      for (std::int64_t k = 0; k < n; ++k) b[k] = f(a[k]);
      if (b == out) store<W>(y.dtype, y.data, i, n, out);
    }
  });
}

/// out = f(a, b) with NumPy broadcasting, computed in W; f returns W or bool (then `out` is boolean).
template <class W, class F>
void map_binary(const TensorView& a, const TensorView& b, const TensorView& out, const F& f) {
  using R = std::invoke_result_t<F, W, W>;
  const Dims dims(out.shape);
  const std::array<Dims, 3> strides{broadcast_strides(a.shape, dims), broadcast_strides(b.shape, dims),
                                    row_major(dims)};
  W left[kBlock], right[kBlock], result[kBlock];
  for_each_row<3>(dims, strides, [&](const auto& offset, std::int64_t count, const auto& step) {
    for (std::int64_t i = 0; i < count; i += kBlock) {
      const std::int64_t n = std::min(kBlock, count - i);
      const W* x = wide_row<W>(a, offset[0] + i * step[0], step[0], n, left);
      const W* y = wide_row<W>(b, offset[1] + i * step[1], step[1], n, right);
      if constexpr (std::is_same_v<R, bool>) {
        auto* z = out.as<std::uint8_t>() + offset[2] + i;
        for (std::int64_t k = 0; k < n; ++k) z[k] = f(x[k], y[k]) ? 1 : 0;
      } else {
        W* z = out.dtype == dtype_of<W>() ? out.as<W>() + offset[2] + i : result;
        for (std::int64_t k = 0; k < n; ++k) z[k] = f(x[k], y[k]);
        if (z == result) store<W>(out.dtype, out.data, offset[2] + i, n, result);
      }
    }
  });
}

}  // namespace nnq::ops
