// What a DeepTwist quantizer stands for, for those who split its layer (src/methods/compress/).
#pragma once

#include <cstdint>
#include <optional>

#include "nnq/node.h"

namespace nnq::methods {

struct LowRankFormat {
  bool tucker2 = false;  // else singular value decomposition
  std::int64_t rank = 0, rank_inputs = 0;
  int sweeps = 0;
};

/// The format a Quantizer node of method deep_twist asks for; nullopt for other methods, roles and projections.
std::optional<LowRankFormat> low_rank_format(const Node& quantizer);

}  // namespace nnq::methods
