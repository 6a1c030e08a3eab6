// What the machine can do at most, measured in the same run as the kernels: without it a figure says nothing on a
// shared or clocked-down core. Loops are assembly, so that a compiler can neither drop nor spill them.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu.h"

namespace nnq {

enum class CeilingKind { int8, narrow, binary, lookup, real, bandwidth };

const char* name_of(CeilingKind kind);  // "int8", "narrow", "binary", "lookup", "float", "memory"

struct Ceiling {
  CeilingKind kind;
  const char* name;
  const char* unit;  // "GOP/s" or "GB/s"
  double value;
  Isa isa;
};

/// The best of several rounds of about a millisecond each, for instruction sets up to `isa`; about 0.2 s altogether.
std::vector<Ceiling> measure_ceilings(Isa isa);

/// Operations (a multiply-accumulate is two) or bytes of one call of a loop of `count` rounds. Internal to ceilings.
using CeilingLoop = std::int64_t (*)(std::int64_t count) noexcept;
#if defined(__x86_64__)
namespace avx2 {
std::int64_t ceiling_float(std::int64_t count) noexcept;   // vfmadd231ps
std::int64_t ceiling_int8(std::int64_t count) noexcept;    // vpmaddwd on widened values, vpaddd
std::int64_t ceiling_narrow(std::int64_t count) noexcept;  // vpmaddubsw, vpaddw
std::int64_t ceiling_binary(std::int64_t count) noexcept;  // vpxor, two vpshufb as popcount, vpaddb
/// Loads `bytes` bytes, a multiple of 256, aligned to 32.
void ceiling_read(const void* from, std::int64_t bytes) noexcept;
std::int64_t ceiling_lookup(std::int64_t count) noexcept;  // vpshufb, vpaddb: four bits of 32 channels
}  // namespace avx2
namespace avx512 {
std::int64_t ceiling_float(std::int64_t count) noexcept;
std::int64_t ceiling_int8(std::int64_t count) noexcept;    // vpdpbusd
std::int64_t ceiling_binary(std::int64_t count) noexcept;  // vpxord, vpopcntd, vpaddd
std::int64_t ceiling_lookup(std::int64_t count) noexcept;  // vpshufb, vpaddb: four bits of 64 channels
}  // namespace avx512
#endif

}  // namespace nnq
