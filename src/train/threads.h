// Threads of LibTorch's operators, for callers outside the wall.
#pragma once

namespace nnq::train {

/// Sets the number of threads LibTorch computes with; 0 or less means every core. Debian's LibTorch starts with one.
void set_threads(int threads);
int threads();

}  // namespace nnq::train
