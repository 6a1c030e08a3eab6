// The reference rows. A flipped value (all its bits inverted) orders the other way round, so that one maximum serves
// both; on bits the maximum is OR.
#include <algorithm>
#include <cstring>

#include "kernels/pool/pool.h"

namespace nnq::portable {
namespace {

template <class T, class Merge>
void pool(const PoolCall& call, Merge&& merge) {
  const std::int64_t n = call.bytes / static_cast<std::int64_t>(sizeof(T));
  const auto at = [](const std::uint8_t* p, std::int64_t i) {
    T value;
    std::memcpy(&value, p + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
    return value;
  };
  for (std::int64_t p = 0; p < call.count; ++p) {
    const std::uint8_t* in = call.in + p * call.step;
    T* out = static_cast<T*>(call.out) + p * n;
    for (std::int64_t i = 0; i < n; ++i) {
      const T flip = call.flip != nullptr ? at(call.flip, i) : T{0};
      T best = static_cast<T>(at(in, i) ^ flip);
      for (std::int64_t t = 1; t < call.taps; ++t)
        best = merge(best, static_cast<T>(at(in + call.offsets[t], i) ^ flip));
      out[i] = static_cast<T>(best ^ flip);
    }
  }
}

}  // namespace

void max_pool_bytes(const PoolCall& call) noexcept {
  pool<std::uint8_t>(call, [](std::uint8_t a, std::uint8_t b) { return std::max(a, b); });
}
void max_pool_bits(const PoolCall& call) noexcept {
  pool<std::uint32_t>(call, [](std::uint32_t a, std::uint32_t b) { return a | b; });
}
void max_pool_sums(const PoolCall& call) noexcept {
  pool<std::int32_t>(call, [](std::int32_t a, std::int32_t b) { return std::max(a, b); });
}

void sum_pool_bytes(const std::uint8_t* in, std::int64_t positions, std::int64_t channels,
                    std::int32_t* sums) noexcept {
  for (std::int64_t p = 0; p < positions; ++p) {
    for (std::int64_t c = 0; c < channels; ++c) sums[c] += in[p * channels + c];
  }
}

}  // namespace nnq::portable
