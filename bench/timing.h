// What benchmarks of single calls share.
#pragma once

#include <dlfcn.h>

#include <chrono>
#include <functional>

namespace nnq::bench {

/// Mean microseconds of a call, over as many as fill two milliseconds.
inline double microseconds(const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  int calls = 0;
  double passed = 0;
  const auto begin = Clock::now();
  do {
    call();
    ++calls;
    passed = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
  } while (passed < 2000);
  return passed / calls;
}

using Sgemv = void (*)(int order, int trans, int m, int n, float alpha, const float* a, int lda, const float* x,
                       int incx, float beta, float* y, int incy);

/// OpenBLAS's on one thread; nullptr where the library is not there.
inline Sgemv find_sgemv() {
  void* library = dlopen("libopenblas.so.0", RTLD_NOW);
  if (library == nullptr) return nullptr;
  if (void* threads = dlsym(library, "openblas_set_num_threads"); threads != nullptr)
    reinterpret_cast<void (*)(int)>(threads)(1);
  return reinterpret_cast<Sgemv>(dlsym(library, "cblas_sgemv"));
}

}  // namespace nnq::bench
