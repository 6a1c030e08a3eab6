#include "kernels/decompose/decompose.h"
#include "pack/multibit.h"

namespace nnq::portable {

void decompose_vector(const DecomposeCall& call) noexcept {
  multibit::decompose(call.x, call.count, call.bits, multibit::Search::alternating, call.cycles, call.alpha, call.codes,
                      call.scratch);
}

}  // namespace nnq::portable
