// Vectors of 16 bytes in the compilers' own notation (GCC and clang, any target): the baseline of x86-64 and aarch64.
// For what loops do not say well: transposing and bit arithmetic over several words in registers.
#pragma once

#include <cstdint>
#include <cstring>

namespace nnq::portable {

using Words4 = std::uint32_t __attribute__((vector_size(16)));
using Halves8 = std::int16_t __attribute__((vector_size(16)));
using Bytes16 = std::int8_t __attribute__((vector_size(16)));

template <class V>
inline V load_vector(const void* from) {
  V v;
  std::memcpy(&v, from, sizeof(V));
  return v;
}

}  // namespace nnq::portable
