// Tensor comparison as NumPy's assert_allclose does it.
#pragma once

#include <cmath>
#include <string>

#include "nnq/tensor.h"

namespace nnq::test {

inline bool is_float(DType type) {
  return type == DType::f32 || type == DType::f64 || type == DType::f16 || type == DType::bf16;
}

/// "" when type and shape are equal and every element is within absolute + relative * |expected| (floats; NaN equals
/// NaN, infinities only themselves) or equal (everything else); otherwise the first difference in words.
inline std::string difference_between(const Tensor& actual, const Tensor& expected, double relative, double absolute) {
  if (!actual.defined()) return "no value";
  const auto type_of = [](const Tensor& t) { return name_of(t.dtype()) + to_string(t.shape()); };
  if (actual.dtype() != expected.dtype() || actual.shape() != expected.shape())
    return "is " + type_of(actual) + ", expected " + type_of(expected);
  if (!is_float(expected.dtype())) return actual == expected ? "" : "integers, booleans or strings differ";
  const Tensor a = actual.cast(DType::f64), e = expected.cast(DType::f64);
  for (std::int64_t i = 0; i < e.count(); ++i) {
    const double x = a.as<double>()[i], y = e.as<double>()[i];
    if ((std::isnan(x) && std::isnan(y)) || x == y) continue;
    if (!(std::abs(x - y) <= absolute + relative * std::abs(y)) || std::isinf(x) || std::isinf(y))
      return "element " + std::to_string(i) + " is " + std::to_string(x) + ", expected " + std::to_string(y);
  }
  return "";
}

}  // namespace nnq::test
