// A loop over rows whose sums are an array of registers: unrolled by the language, because g++ 12 unrolls long bodies
// too late to notice that the array needs no memory, and stores it every time round.
#pragma once

#include <utility>

/// In front of a loop: the same by order. For bodies that are too long to be inlined as many times.
#if defined(__clang__)
#define NNQ_UNROLL _Pragma("unroll")
#else
#define NNQ_UNROLL _Pragma("GCC unroll 16")
#endif

namespace nnq {

/// f(0), f(1), ... f(Count - 1).
template <int Count, class F>
inline void unrolled(F&& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (f(I), ...); }
  (std::make_integer_sequence<int, Count>{});
}

}  // namespace nnq
