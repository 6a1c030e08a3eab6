#include "train/memory.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <limits>

namespace nnq::train {

void keep_freed_memory() {
#ifdef __GLIBC__
  static const bool done = [] {
    constexpr int most = std::numeric_limits<int>::max();
    return mallopt(M_MMAP_THRESHOLD, 1 << 30) == 1 && mallopt(M_TRIM_THRESHOLD, most) == 1 &&
           mallopt(M_TOP_PAD, 64 << 20) == 1;
  }();
  static_cast<void>(done);
#endif
}

}  // namespace nnq::train
