// XNNPACK's and OpenBLAS's sides, one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "contender.h"
#include "layer.h"

namespace nnq::peers {

/// fp32, or int8 with signed codes (qs8) compared with `sums` (NHWC); weights packed beforehand.
Contender xnnpack(const Layer& layer, bool int8, const std::vector<std::int32_t>& sums);

/// sgemm, or sgemv for one row. Fully connected layers only.
Contender openblas(const Layer& layer, const std::vector<std::int32_t>& sums);

std::string openblas_version();

}  // namespace nnq::peers
