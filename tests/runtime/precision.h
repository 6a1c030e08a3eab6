// Weights of some bits on codes of some range, for tests of single layers.
#pragma once

#include <cstdint>
#include <vector>

#include "core/random.h"
#include "nnq/program.h"

namespace nnq::test {

struct Precision {
  const char* name;
  int weight_bits;
  std::int32_t offset;
  std::vector<std::int32_t> scales;
  CodeType code;
};

/// Values that quantize to random codes of the precision, each code as likely as another.
inline Tensor random_codes(const Precision& p, const Shape& shape, Random& random) {
  Tensor x(DType::f32, shape);
  for (float& v : x.mutable_values<float>()) {
    const auto span = static_cast<std::uint64_t>(p.code.max - p.code.min + 1);
    v = p.code.sign ? (random.below(2) == 0 ? -1.0F : 1.0F)
                    : static_cast<float>(p.code.min + static_cast<std::int32_t>(random.below(span)));
  }
  return x;
}

}  // namespace nnq::test
