// What a layer is estimated to cost with each kernel that could run it. A handful of measured speeds and the waste of
// panels that are not full: enough to choose between kernels that differ by half. --autotune measures instead.
#pragma once

#include <cstdint>

#include "kernels/cpu.h"

namespace nnq {

/// Ways to multiply codes with weights (docs/kernels.md).
enum class Method : std::uint8_t {
  int8,
  wide,
  narrow,
  winograd,
  winograd_narrow,
  w2a2_lookup,
  w2a2_triples,
  w1a2_lookup,
  w1a2_lookup_64,  // panels of 64
  w1a4_lookup,
  w1a4_lookup_64,
  binary,
  binary_lookup,
  ternary
};

struct LayerCost {
  std::int64_t positions;   // of the output
  std::int64_t inputs;      // codes under a window
  std::int64_t outputs;     // channels, a multiple of the kernel's panel
  std::int64_t packed = 0;  // codes of the input that are packed tighter first; 0: none
  std::int64_t run = 64;    // narrow, winograd_narrow: kernel steps whose products are summed in 16 bits, at least
};

/// Microseconds on a core of the class that the speeds were measured on; only ratios between methods mean something.
double estimated_microseconds(Isa isa, Method method, const LayerCost& cost);

}  // namespace nnq
