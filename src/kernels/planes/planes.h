// Common bits of packed planes, one table row an instruction set. Every row gives the same counts, bit for bit.
//
// Weights are packed once, in panels of 8 output channels, so that the 64-bit lanes of a vector hold different channels
// and no horizontal additions are needed:
//   panels[panel][weight plane][word][8]     64 weight bits a word, unused bits and channels 0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu.h"

namespace nnq {

inline constexpr std::int64_t plane_panel = 8;

/// counts[(p * code_planes + q) * stride + o] = popcount of (codes[q] and weights[o][p]) over `words` words, for
/// panel_count * 8 outputs o, all weight planes p and code planes q. codes: [code_planes][words]. 1 to 8 planes each;
/// a count fits 31 bits.
using PlaneCounts = void (*)(const std::uint64_t* codes, int code_planes, const std::uint64_t* panels,
                             int weight_planes, std::int64_t words, std::int64_t panel_count, std::int32_t* counts,
                             std::int64_t stride) noexcept;

/// One product of the weighted sum: coefficient[o] * (factor * sums[o] - per_set * set[o] + constant), the integers
/// below 2^31. sums and set may be nullptr: none.
struct PlaneTerm {
  const double* coefficient;
  const std::int32_t* sums;
  const std::int32_t* set;
  std::int32_t factor, per_set, constant;
};
/// y[o] = the terms' sum in double from +0, each product and each sum rounded once (no fused multiply-add), in their
/// order, then rounded to float. In steps of 8 outputs: all arrays have room for that.
using PlaneCombine = void (*)(const PlaneTerm* terms, std::int64_t count, std::int64_t outputs, float* y) noexcept;

struct PlaneKernel {
  Isa isa;
  const char* name;
  PlaneCounts counts;
  PlaneCombine combine;
};

/// The table, fastest first; the last row runs everywhere and is the reference.
const PlaneKernel* plane_table(std::size_t& rows);
/// The first row that `isa` can run.
const PlaneKernel& plane_kernel(Isa isa);

namespace portable {
void plane_counts(const std::uint64_t*, int, const std::uint64_t*, int, std::int64_t, std::int64_t, std::int32_t*,
                  std::int64_t) noexcept;
void plane_combine(const PlaneTerm*, std::int64_t, std::int64_t, float*) noexcept;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
void plane_counts(const std::uint64_t*, int, const std::uint64_t*, int, std::int64_t, std::int64_t, std::int32_t*,
                  std::int64_t) noexcept;
void plane_combine(const PlaneTerm*, std::int64_t, std::int64_t, float*) noexcept;
}  // namespace avx2
namespace avx512 {
void plane_counts(const std::uint64_t*, int, const std::uint64_t*, int, std::int64_t, std::int64_t, std::int32_t*,
                  std::int64_t) noexcept;
}
#endif
#if defined(__aarch64__)
namespace neon {
void plane_counts(const std::uint64_t*, int, const std::uint64_t*, int, std::int64_t, std::int64_t, std::int32_t*,
                  std::int64_t) noexcept;
}
#endif

}  // namespace nnq
