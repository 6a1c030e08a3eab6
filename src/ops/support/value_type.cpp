#include "nnq/op.h"
#include "ops/support/check.h"

namespace nnq {

ValueType ValueType::of(DType t, const Shape& s) { return {t, true, SymbolicShape(s.begin(), s.end())}; }

bool ValueType::fully_known() const {
  if (!ranked) return false;
  for (const Dim& d : shape) {
    if (!d.known()) return false;
  }
  return true;
}

Shape ValueType::static_shape() const {
  Shape out;
  for (const Dim& d : shape) out.push_back(d.value);
  return out;
}

std::string ValueType::to_string() const {
  return ranked ? name_of(dtype) + ops::to_string(shape) : std::string(name_of(dtype)) + "[...]";
}

}  // namespace nnq
