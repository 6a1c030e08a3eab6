// 3 x 3 convolutions by Winograd's filtering (kernels/winograd/winograd.h).
#pragma once

#include <memory>
#include <string>

#include "runtime/steps/layer.h"
#include "runtime/steps/layer_choice.h"

namespace nnq {

/// Why a layer on bytes 0 .. largest (border included) cannot be computed so; empty when it can.
std::string winograd_refuses(const LayerGeometry& geometry, const Step& step, const LayerWeights& weights,
                             std::int32_t largest);
/// The layer that `choice`, one with Method::winograd, describes. winograd_refuses() has nothing to say.
std::unique_ptr<PreparedStep> make_winograd(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                            const LayerChoice& choice);

}  // namespace nnq
