#include "ops/support/multiply.h"

#include <cstring>

namespace nnq::ops {
namespace {

/// Two doubles, added and multiplied lane by lane: what every target nnq builds for has in one instruction.
typedef double Pair __attribute__((vector_size(16)));

Pair read(const double* p) {
  Pair v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

}  // namespace

void multiply_tile(const double* a, const double* b, std::int64_t k, std::int64_t columns, double* c) {
  for (std::int64_t j = 0; j < columns; j += kTile) {
    Pair sum[kTile][2];
    for (std::int64_t r = 0; r < kTile; ++r) {
      sum[r][0] = read(c + r * columns + j);
      sum[r][1] = read(c + r * columns + j + 2);
    }
    const double* left = a;
    const double* right = b + j;
    for (std::int64_t i = 0; i < k; ++i, left += kTile, right += columns) {
      const Pair low = read(right), high = read(right + 2);
      for (std::int64_t r = 0; r < kTile; ++r) {
        const Pair w = {left[r], left[r]};
        sum[r][0] += w * low;
        sum[r][1] += w * high;
      }
    }
    for (std::int64_t r = 0; r < kTile; ++r) {
      std::memcpy(c + r * columns + j, &sum[r][0], sizeof(Pair));
      std::memcpy(c + r * columns + j + 2, &sum[r][1], sizeof(Pair));
    }
  }
}

double dot(const double* a, const double* b, std::int64_t count) {
  Pair sum[kTile] = {};
  std::int64_t i = 0;
  for (; i + 2 * kTile <= count; i += 2 * kTile) {
    for (std::int64_t r = 0; r < kTile; ++r) sum[r] += read(a + i + 2 * r) * read(b + i + 2 * r);
  }
  double rest = 0;
  for (; i < count; ++i) rest += a[i] * b[i];
  const Pair total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  return total[0] + total[1] + rest;
}

void load_doubles(DType type, const std::byte* data, std::int64_t offset, std::int64_t step, std::int64_t count,
                  double* out, std::int64_t out_step) {
  if (type == DType::f32) {
    const float* in = reinterpret_cast<const float*>(data) + offset;
    if (step == 1 && out_step == 1) {
      for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<double>(in[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) out[i * out_step] = static_cast<double>(in[i * step]);
    }
    return;
  }
  if (out_step == 1) {
    load<double>(type, data, offset, step, count, out);
    return;
  }
  double block[kBlock];
  for (std::int64_t i = 0; i < count; i += kBlock) {
    const std::int64_t n = std::min(kBlock, count - i);
    load<double>(type, data, offset + i * step, step, n, block);
    for (std::int64_t j = 0; j < n; ++j) out[(i + j) * out_step] = block[j];
  }
}

Workspace::Workspace(std::span<std::byte> scratch, std::size_t bytes) {
  if (scratch.size() >= bytes) {
    data_ = scratch.data();
    return;
  }
  own_ = Tensor(DType::u8, {static_cast<std::int64_t>(bytes)});
  data_ = own_.mutable_data();
}

}  // namespace nnq::ops
