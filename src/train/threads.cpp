#include "train/threads.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>
#include <thread>

namespace nnq::train {

void set_threads(int threads) {
  if (threads <= 0) threads = static_cast<int>(std::thread::hardware_concurrency());
  at::set_num_threads(std::max(threads, 1));
  // OpenBLAS, where it is the BLAS behind LibTorch, keeps threads of its own that LibTorch does not know of.
  if (void* const symbol = dlsym(RTLD_DEFAULT, "openblas_set_num_threads"); symbol != nullptr)
    reinterpret_cast<void (*)(int)>(symbol)(std::max(threads, 1));
}

int threads() { return at::get_num_threads(); }

}  // namespace nnq::train
