// What becomes of a layer's sums (docs/program.md, "Epilogues"), one table row an instruction set. All rows give the
// same bits: float operations one by one, rounded once, division stays division.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu.h"

namespace nnq {

inline constexpr std::int64_t epilogue_block = 16;  // channels

/// Levels passed by a sum: min(max(sum * a + b, 0), most), cut off.
struct ThresholdLine {
  float a, b, most;
};
/// The line of `limits`, ascending and below INT32_MAX: sums greater than limit k pass k + 1 levels. True: proven to
/// give every sum its number, computed in floats, one rounding an operation. False: none was found.
bool threshold_line(std::span<const std::int32_t> limits, ThresholdLine& line);

/// Thresholds as the kernels want them. A sum is turned (negated where the direction falls), then passes a level when
/// it is greater than `limits`: threshold - 1.
struct Thresholds {
  /// thresholds [channels][levels] and direction [channels] as in a step; code = first + step * passed, stored minus
  /// base.
  void make(std::int64_t channels, std::int32_t levels, const std::int32_t* thresholds, const std::int8_t* direction,
            std::int32_t first, std::int32_t step, std::int32_t base);

  std::int64_t channels = 0;
  std::int32_t levels = 0, step = 1;
  bool turns = false;                // some direction falls
  bool narrow = false;               // all limits fit 16 bits: saturated 16-bit sums compare the same
  std::vector<std::int32_t> limits;  // [blocks][levels][16]; never: INT32_MAX
  std::vector<std::int16_t> limits16;
  std::vector<std::int32_t> turn;     // [blocks * 16]: 0 or -1
  std::vector<std::uint8_t> start;    // [blocks * 16]: stored code of no level passed
  std::vector<std::uint32_t> always;  // [blocks]: a bit for each channel whose start is not 0
  std::vector<std::uint8_t> lines;    // [blocks]: whether its channels have lines, for sums that are not turned
  std::vector<float> line_a, line_b, line_most;  // [blocks * 16], where lines were sought

 private:
  void make_lines();
};

struct ThresholdCall {
  const Thresholds* thresholds;
  const std::int32_t* sums;  // [count][stride]
  std::int64_t stride, count;
  void* out;  // bytes [count][channels], or words [count][(channels + 31) / 32]
};
using ThresholdKernel = void (*)(const ThresholdCall& call) noexcept;

/// affine and requantize.
struct RealCall {
  enum class Residual { none, bytes, sums, bits, floats };
  enum class Output { floats, codes, signs, bits };
  const std::int32_t* sums;  // [count][stride]
  std::int64_t stride, count, channels;
  const float *a, *b;  // [channels]
  Residual residual = Residual::none;
  const void* residual_data = nullptr;                       // [count][channels], bits [count][words]
  std::int32_t residual_min = 0;                             // bytes: code of byte 0
  const float *residual_a = nullptr, *residual_b = nullptr;  // not of floats, which are added as they are
  bool relu = false;
  bool float_relu = false;  // to floats: relu as the operator on floats has it, NaN and -0 stay
  Output output = Output::codes;
  float scale = 1;  // codes
  std::int32_t min = 0, max = 255, base = 0;
  void* out = nullptr;                                   // bytes [count][channels], words or floats
  std::int64_t channel_stride = 1, position_stride = 0;  // floats
};
using RealKernel = void (*)(const RealCall& call) noexcept;

/// sums[i] = a[i] + b[i] + offset: codes, of one value or of two that are added, as sums.
struct WidenCall {
  const std::uint8_t *a, *b;  // b: or null
  std::int64_t count;
  std::int32_t offset;
  std::int32_t* sums;
};
using WidenKernel = void (*)(const WidenCall& call) noexcept;

struct EpilogueKernels {
  Isa isa;
  const char* name;
  ThresholdKernel codes;  // to bytes
  ThresholdKernel bits;   // one level, to sign bits
  RealKernel real;
  WidenKernel widen;
};

/// The table, fastest first; the last row runs everywhere and is the reference.
const EpilogueKernels* epilogue_table(std::size_t& rows);
const EpilogueKernels& epilogue_kernels(Isa isa);

namespace portable {
void threshold_codes(const ThresholdCall& call) noexcept;
void threshold_bits(const ThresholdCall& call) noexcept;
void real_epilogue(const RealCall& call) noexcept;
void widen(const WidenCall& call) noexcept;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
void threshold_codes(const ThresholdCall& call) noexcept;
void threshold_bits(const ThresholdCall& call) noexcept;
void real_epilogue(const RealCall& call) noexcept;
void widen(const WidenCall& call) noexcept;
}  // namespace avx2
namespace avx512 {
void threshold_codes(const ThresholdCall& call) noexcept;
void threshold_bits(const ThresholdCall& call) noexcept;
}  // namespace avx512
#endif
#if defined(__aarch64__)
namespace neon {
void threshold_codes(const ThresholdCall& call) noexcept;
void threshold_bits(const ThresholdCall& call) noexcept;
}  // namespace neon
#endif

}  // namespace nnq
