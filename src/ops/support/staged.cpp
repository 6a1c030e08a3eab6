#include "ops/support/staged.h"

#include <algorithm>
#include <array>

namespace nnq::ops {
namespace {

/// Pointer to `count` elements as W: the tensor's own memory when it holds W contiguously, else converted into
/// `buffer`.
template <class W>
const W* wide_row(const TensorView& t, std::int64_t offset, std::int64_t step, std::int64_t count, W* buffer) {
  if (t.dtype == dtype_of<W>() && step == 1) return t.as<W>() + offset;
  load<W>(t.dtype, t.data, offset, step, count, buffer);
  return buffer;
}

}  // namespace

template <class W>
void walk_unary(const TensorView& x, const TensorView& y, UnaryRow<W> row, const void* f) {
  const std::int64_t count = x.count();
  W in[kBlock], out[kBlock];
  for (std::int64_t i = 0; i < count; i += kBlock) {
    const std::int64_t n = std::min(kBlock, count - i);
    const W* a = wide_row<W>(x, i, 1, n, in);
    W* b = y.dtype == dtype_of<W>() ? y.as<W>() + i : out;
    row(f, a, b, n);
    if (b == out) store<W>(y.dtype, y.data, i, n, out);
  }
}

template <class W, class R>
void walk_binary(const TensorView& a, const TensorView& b, const TensorView& out, BinaryRow<W, R> row, const void* f) {
  const Dims dims(out.shape);
  const std::array<Dims, 3> strides{broadcast_strides(a.shape, dims), broadcast_strides(b.shape, dims),
                                    row_major(dims)};
  W left[kBlock], right[kBlock];
  [[maybe_unused]] W result[kBlock];
  for_each_row<3>(dims, strides, [&](const auto& offset, std::int64_t count, const auto& step) {
    for (std::int64_t i = 0; i < count; i += kBlock) {
      const std::int64_t n = std::min(kBlock, count - i);
      const W* x = wide_row<W>(a, offset[0] + i * step[0], step[0], n, left);
      const W* y = wide_row<W>(b, offset[1] + i * step[1], step[1], n, right);
      const std::int64_t to = offset[2] + i;
      if constexpr (std::is_same_v<R, W>) {
        W* z = out.dtype == dtype_of<W>() ? out.as<W>() + to : result;
        row(f, x, y, z, n);
        if (z == result) store<W>(out.dtype, out.data, to, n, result);
      } else {
        row(f, x, y, out.as<R>() + to, n);
      }
    }
  });
}

#define NNQ_INSTANTIATE(W)                                                                                  \
  template void walk_unary<W>(const TensorView&, const TensorView&, UnaryRow<W>, const void*);              \
  template void walk_binary<W, W>(const TensorView&, const TensorView&, const TensorView&, BinaryRow<W, W>, \
                                  const void*);                                                             \
  template void walk_binary<W, std::uint8_t>(const TensorView&, const TensorView&, const TensorView&,       \
                                             BinaryRow<W, std::uint8_t>, const void*);
NNQ_INSTANTIATE(float)
NNQ_INSTANTIATE(double)
NNQ_INSTANTIATE(std::int64_t)
NNQ_INSTANTIATE(std::uint64_t)
#undef NNQ_INSTANTIATE

}  // namespace nnq::ops
