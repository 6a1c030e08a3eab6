// The rows that run everywhere. A flipped value (all its bits inverted) orders the other way round, so that one maximum
// serves both; on bits the maximum is OR.
#include <cstring>

#include "kernels/pool/pool.h"
#include "kernels/portable_vector.h"

namespace nnq::portable {
namespace {

/// One value V of channels from byte `at` on, all taps: V is a vector, or an element where none fits.
template <class V, class Merge>
inline void pool_channels(const PoolCall& call, const std::uint8_t* in, std::uint8_t* out, std::int64_t at,
                          Merge&& merge) {
  V flip = {};
  if (call.flip != nullptr) flip = load_vector<V>(call.flip + at);
  V best = load_vector<V>(in + at) ^ flip;
  for (std::int64_t t = 1; t < call.taps; ++t) {
    const V value = load_vector<V>(in + call.offsets[t] + at) ^ flip;
    best = merge(best, value);
  }
  best ^= flip;
  std::memcpy(out + at, &best, sizeof(V));
}

template <class T, class Merge>
void pool(const PoolCall& call, Merge&& merge) {
  using V __attribute__((vector_size(16))) = T;
  for (std::int64_t p = 0; p < call.count; ++p) {
    const std::uint8_t* in = call.in + p * call.step;
    std::uint8_t* out = static_cast<std::uint8_t*>(call.out) + p * call.bytes;
    std::int64_t i = 0;
    for (; i + 16 <= call.bytes; i += 16) pool_channels<V>(call, in, out, i, merge);
    for (; i < call.bytes; i += static_cast<std::int64_t>(sizeof(T))) pool_channels<T>(call, in, out, i, merge);
  }
}

}  // namespace

void max_pool_bytes(const PoolCall& call) noexcept {
  pool<std::uint8_t>(call, [](auto a, auto b) { return a > b ? a : b; });
}
void max_pool_bits(const PoolCall& call) noexcept {
  pool<std::uint32_t>(call, [](auto a, auto b) { return a | b; });
}
void max_pool_sums(const PoolCall& call) noexcept {
  pool<std::int32_t>(call, [](auto a, auto b) { return a > b ? a : b; });
}

void sum_pool_bytes(const std::uint8_t* in, std::int64_t positions, std::int64_t channels,
                    std::int32_t* sums) noexcept {
  for (std::int64_t p = 0; p < positions; ++p) {
    for (std::int64_t c = 0; c < channels; ++c) sums[c] += in[p * channels + c];
  }
}

}  // namespace nnq::portable
