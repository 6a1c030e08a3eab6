// Element-wise loops over tensors of any type: float32, float64, int64 and uint64 run in place, other types pass
// through a block of a wide type on the stack. Only the innermost loop exists once for each operator; walking the
// broadcast shape and converting blocks is shared code.
#pragma once

#include <type_traits>

#include "ops/support/dims.h"
#include "ops/support/elements.h"

namespace nnq::ops {

/// out[i] = f(a[i]) for `count` contiguous elements; `f` is the operator's function object.
template <class W>
using UnaryRow = void (*)(const void* f, const W* a, W* out, std::int64_t count);
/// out[i] = f(a[i], b[i]); R is W, or uint8_t for operators with a boolean result.
template <class W, class R>
using BinaryRow = void (*)(const void* f, const W* a, const W* b, R* out, std::int64_t count);

template <class W>
void walk_unary(const TensorView& x, const TensorView& y, UnaryRow<W> row, const void* f);
template <class W, class R>
void walk_binary(const TensorView& a, const TensorView& b, const TensorView& out, BinaryRow<W, R> row, const void* f);

/// out[i] = f(x[i]) in the wide type of x. `f` is generic over float, double, int64_t, uint64_t.
template <class F>
void map_unary(const TensorView& x, const TensorView& y, const F& f) {
  with_wide(x.dtype, [&](auto wide) {
    using W = decltype(wide);
    const UnaryRow<W> row = [](const void* object, const W* a, W* out, std::int64_t count) {
      const F& g = *static_cast<const F*>(object);
      for (std::int64_t i = 0; i < count; ++i) out[i] = g(a[i]);
    };
    walk_unary<W>(x, y, row, &f);
  });
}

/// out = f(a, b) with NumPy broadcasting, computed in W; f returns W or bool (then `out` is boolean).
template <class W, class F>
void map_binary(const TensorView& a, const TensorView& b, const TensorView& out, const F& f) {
  using R = std::conditional_t<std::is_same_v<std::invoke_result_t<F, W, W>, bool>, std::uint8_t, W>;
  const BinaryRow<W, R> row = [](const void* object, const W* x, const W* y, R* z, std::int64_t count) {
    const F& g = *static_cast<const F*>(object);
    for (std::int64_t i = 0; i < count; ++i) z[i] = static_cast<R>(g(x[i], y[i]));
  };
  walk_binary<W, R>(a, b, out, row, &f);
}

}  // namespace nnq::ops
