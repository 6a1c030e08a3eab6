// oneDNN's side: matrix products and convolutions in float and int8, one thread, weights packed beforehand.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "contender.h"
#include "layer.h"

namespace nnq::peers {

enum class OneDnnForm {
  real,           // float32
  real_winograd,  // float32, Winograd; convolutions
  u8s8,           // unsigned codes, int8 weights, codes out
  s8s8,           // signed codes, likewise
  u8s8_winograd,  // convolutions
  u8s8_sums,      // int32 out; matrix products
};

/// "2.6.3, AVX2": the version, and the instruction set it limits itself to.
std::string onednn_version();

/// The layer's sums in float32, exact below 2^24; NHWC.
std::vector<std::int32_t> onednn_sums(const Layer& layer);

/// Nothing where the library has no such implementation on this CPU. Int8 forms are first compared with `sums` (NHWC).
std::optional<Contender> onednn(const Layer& layer, OneDnnForm form, const std::vector<std::int32_t>& sums);

}  // namespace nnq::peers
