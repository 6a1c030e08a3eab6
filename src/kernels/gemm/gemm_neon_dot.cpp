// Armv8.2: the direct kernel's dot products.
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/through_direct.h"

namespace nnq::neon_dot {

void gemm_int8(const std::uint8_t* a, std::size_t row_bytes, const std::int8_t* panels, std::int64_t rows,
               std::int64_t k4, std::int64_t panel_count, std::int32_t* sums, std::int64_t stride) noexcept {
  through_direct(direct_int8, a, row_bytes, reinterpret_cast<const std::uint8_t*>(panels), rows, k4, panel_count, sums,
                 stride);
}

}  // namespace nnq::neon_dot
