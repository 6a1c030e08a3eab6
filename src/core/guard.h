// The border between code that returns a Status and a standard library that throws. Builds without exceptions
// (NNQ_RUNTIME_ONLY) end where it would: running out of memory aborts there, as in every such program.
#pragma once

#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "nnq/status.h"

namespace nnq {

/// Runs f, which returns a Status. No memory becomes out_of_memory with `message`; any other exception, which only the
/// system can be the source of (no thread to be had), becomes out_of_memory, too, with its own words behind.
template <class F>
Status guarded(const char* message, F&& f) {
#if defined(__cpp_exceptions)
  try {
    return std::forward<F>(f)();
  } catch (const std::bad_alloc&) {
    return {StatusCode::out_of_memory, message};
  } catch (const std::exception& e) {
    return {StatusCode::out_of_memory, text(message, ": ", e.what())};
  }
#else
  static_cast<void>(message);
  return std::forward<F>(f)();
#endif
}

/// What operator new does when there is no memory.
[[noreturn]] inline void no_memory() {
#if defined(__cpp_exceptions)
  throw std::bad_alloc();
#else
  std::abort();
#endif
}

}  // namespace nnq
