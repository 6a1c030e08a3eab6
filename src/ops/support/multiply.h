// The one matrix product behind Conv, Gemm, MatMul and the recurrent operators: double accumulation, in blocks that
// stay in cache. Products of float32 are exact in double and so are sums of integers below 2^53.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/support/dims.h"
#include "ops/support/elements.h"

namespace nnq::ops {

inline constexpr std::int64_t kTile = 4;  // rows of A and columns of B handled in registers

/// Columns of B in one panel for an inner extent of k: about 256 KiB, a multiple of kTile.
inline std::int64_t panel_columns(std::int64_t k) {
  const std::int64_t fit = 32768 / std::max<std::int64_t>(k, 1);
  return std::clamp<std::int64_t>(fit, 8, 256) / kTile * kTile;
}

/// Scratch of multiply_panels, in bytes: B panel [k, columns], A panel [k, kTile], C panel [kTile, columns].
inline std::size_t panel_bytes(std::int64_t k) {
  const std::int64_t columns = panel_columns(k);
  std::int64_t doubles = 0;
  if (__builtin_mul_overflow(std::max<std::int64_t>(k, 1), columns + kTile, &doubles))
    return static_cast<std::size_t>(-1);
  return static_cast<std::size_t>(doubles + kTile * columns) * sizeof(double);
}

/// c[4, columns] += a[k, 4]^T * b[k, columns]; columns is a multiple of kTile.
void multiply_tile(const double* a, const double* b, std::int64_t k, std::int64_t columns, double* c);

/// Sum of a[i] * b[i].
double dot(const double* a, const double* b, std::int64_t count);

/// C[m, n] = A[m, k] * B[k, n]. fill_a(row, out, step) writes row `row` of A as k doubles, `step` apart;
/// fill_b(first, count, out, stride) writes columns [first, first + count) of B as k rows of `stride` doubles;
/// start(row, first, count, c) writes the initial values of a row piece (bias, or 0) and finish(row, first, count, c)
/// takes the result. `scratch` has panel_bytes(k).
template <class FillA, class FillB, class Start, class Finish>
void multiply_panels(std::int64_t m, std::int64_t n, std::int64_t k, double* scratch, FillA&& fill_a, FillB&& fill_b,
                     Start&& start, Finish&& finish) {
  const std::int64_t width = panel_columns(k);
  double* b = scratch;
  double* a = b + k * width;
  double* c = a + k * kTile;
  for (std::int64_t first = 0; first < n; first += width) {
    const std::int64_t count = std::min(width, n - first);
    const std::int64_t columns = (count + kTile - 1) / kTile * kTile;
    std::fill_n(b, k * columns, 0.0);
    fill_b(first, count, b, columns);
    for (std::int64_t row = 0; row < m; row += kTile) {
      const std::int64_t rows = std::min(kTile, m - row);
      if (rows < kTile) std::fill_n(a, k * kTile, 0.0);
      std::fill_n(c, kTile * columns, 0.0);
      for (std::int64_t r = 0; r < rows; ++r) {
        fill_a(row + r, a + r, kTile);
        start(row + r, first, count, c + r * columns);
      }
      multiply_tile(a, b, k, columns, c);
      for (std::int64_t r = 0; r < rows; ++r) finish(row + r, first, count, c + r * columns);
    }
  }
}

/// Converts `count` elements of `type` at offset, `step` apart, into doubles `out_step` apart.
void load_doubles(DType type, const std::byte* data, std::int64_t offset, std::int64_t step, std::int64_t count,
                  double* out, std::int64_t out_step);

/// Memory for intermediate values: the caller's scratch when it is large enough, otherwise its own.
class Workspace {
 public:
  Workspace(std::span<std::byte> scratch, std::size_t bytes);
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  Tensor own_;
  std::byte* data_ = nullptr;
};

}  // namespace nnq::ops
