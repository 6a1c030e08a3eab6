// A loop over rows whose sums are an array of registers: unrolled by the language, because g++ 12 unrolls long bodies
// too late to notice that the array needs no memory, and stores it every time round.
#pragma once

#include <utility>

namespace nnq {

/// f(0), f(1), ... f(Count - 1).
template <int Count, class F>
inline void unrolled(F&& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (f(I), ...); }
  (std::make_integer_sequence<int, Count>{});
}

}  // namespace nnq
