// Floats to codes (docs/program.md, "Arithmetic"), one table row an instruction set. All rows give the same bits:
// division stays division, rint is to nearest with ties to even, a NaN is the lowest code and the sign -1.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace nnq {

/// to[i] = clamp(rint(x[i] / scale), min, max) - base. |min|, |max| <= 255.
struct RoundCall {
  const float* x;
  std::uint8_t* to;
  std::int64_t count;
  float scale;
  std::int32_t min, max, base;
};
using RoundKernel = void (*)(const RoundCall& call) noexcept;

/// Bit c % 32 of word c / 32 of a position: x >= 0. Bits behind the last channel are 0. With `relu` x becomes x < 0 ? 0
/// : x on the way.
struct SignCall {
  float* x;           // [count][channels]
  std::uint32_t* to;  // [count][(channels + 31) / 32]
  std::int64_t count, channels;
  bool relu = false;
};
using SignKernel = void (*)(const SignCall& call) noexcept;

/// Up to four planes of an image become neighbouring bytes of its positions, channels last: byte k of position i, at
/// to + i * stride, is the code of x[k * plane + i]. Four bytes of every position may be written, whatever `planes`.
struct WeaveCall {
  RoundCall round;  // of `count` positions
  std::int64_t plane, planes, stride;
};
using WeaveKernel = void (*)(const WeaveCall& call) noexcept;

struct QuantizeKernels {
  Isa isa;
  const char* name;
  RoundKernel round;
  WeaveKernel weave;
  SignKernel signs;
};

/// The table, fastest first; the last row runs everywhere and is the reference.
const QuantizeKernels* quantize_table(std::size_t& rows);
const QuantizeKernels& quantize_kernels(Isa isa);

namespace portable {
void round_codes(const RoundCall& call) noexcept;
void weave_codes(const WeaveCall& call) noexcept;
void sign_bits(const SignCall& call) noexcept;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
void round_codes(const RoundCall& call) noexcept;
void weave_codes(const WeaveCall& call) noexcept;
void sign_bits(const SignCall& call) noexcept;
}  // namespace avx2
#endif

}  // namespace nnq
