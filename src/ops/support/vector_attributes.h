// The attributes of operators that quantize vectors on line (docs/quantized-graph.md): bits, cycles, uniform; those of
// a recurrent state have a prefix.
#pragma once

#include <string>

#include "ops/support/check.h"
#include "pack/multibit.h"
#include "pack/vector_code.h"

namespace nnq::ops {

inline constexpr std::int64_t default_vector_cycles = 2;  // Xu et al. 2018, T

/// Reads PREFIXbits, PREFIXcycles and PREFIXuniform; an error when they are out of range.
inline Status read_vector_code(const Node& node, const std::string& prefix, VectorCode& code) {
  const std::int64_t bits = node.get_int(prefix + "bits", 0),
                     cycles = node.get_int(prefix + "cycles", default_vector_cycles),
                     uniform = node.get_int(prefix + "uniform", 0);
  NNQ_REQUIRE(bits >= 1 && bits <= multibit::kMaxBits, title(node), ": ", prefix, "bits must be 1 to ",
              multibit::kMaxBits, ", got ", bits);
  NNQ_REQUIRE(cycles >= 0 && cycles <= 100, title(node), ": ", prefix, "cycles must be 0 to 100, got ", cycles);
  NNQ_REQUIRE(uniform == 0 || (uniform == 1 && bits == uniform_vector_bits), title(node), ": ", prefix,
              "uniform must be 0, or 1 with ", uniform_vector_bits, " bits");
  code = {.uniform = uniform != 0, .bits = static_cast<int>(bits), .cycles = static_cast<int>(cycles)};
  return {};
}

}  // namespace nnq::ops
