// Plain loops over float32 memory, compiled for several instruction sets and chosen when the program starts. All
// operations are single IEEE operations, so every instruction set gives the same bits.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdint>
#include <utility>

namespace nnq::train {

/// Elements a thread takes at a time. Fixed: partial sums are made per chunk, so results do not depend on threads.
inline constexpr std::int64_t kChunk = 1 << 15;

/// clamp(rint(x / scale), low, high); NaN becomes low.
void quantize_codes(const float* x, float* out, std::int64_t n, float scale, float low, float high);
/// x >= 0 ? +1 : -1.
void sign_codes(const float* x, float* out, std::int64_t n);
/// quantize_codes * scale.
void quantize_values(const float* x, float* out, std::int64_t n, float scale, float low, float high);
/// The x with low <= x / scale <= high are exactly those with range.first <= x <= range.second (scale > 0).
std::pair<float, float> range_in_x(float scale, float low, float high);
/// Keeps gradient where low <= x <= high, else 0; in place.
void mask_range(float* gradient, const float* x, std::int64_t n, float low, float high);
/// Keeps gradient where low <= x / scale <= high, else 0; in place. Returns the sum of gradient * d(value)/d(scale) of
/// learned step size quantization.
double mask_range_and_scale(float* gradient, const float* x, std::int64_t n, float scale, float low, float high);

/// (x - mean[c]) * factor[c] + bias[c] in double, rounded once: rows of `channels` values (channels last) ...
void normalize_rows(const float* x, float* out, std::int64_t rows, std::int64_t channels, const double* mean,
                    const double* factor, const double* bias);
/// ... or a plane of one channel.
void normalize_plane(const float* x, float* out, std::int64_t n, double mean, double factor, double bias);

/// `t` itself when its elements lie densely in memory in any order, otherwise a dense copy.
at::Tensor dense(const at::Tensor& t);
/// A gradient as memory that may be written over, in the memory order of `like`: itself when autograd holds it for this
/// function alone, otherwise a copy. To be called with the list a backward function gets by reference.
at::Tensor writable(const at::Tensor& gradient, const at::Tensor& like);

/// f(in, out, count) over float32 memory in parallel chunks; the result has the memory order of x.
template <class F>
at::Tensor map_floats(const at::Tensor& x, F f) {
  const at::Tensor in = dense(x);
  at::Tensor out = at::empty_like(in);
  const float* source = in.data_ptr<float>();
  float* target = out.data_ptr<float>();
  at::parallel_for(0, in.numel(), kChunk,
                   [&](std::int64_t begin, std::int64_t end) { f(source + begin, target + begin, end - begin); });
  return out;
}

}  // namespace nnq::train
