// `nnq compress` without a recipe: the recipe its options stand for.
#pragma once

#include "nnq/train_api.h"
#include "recipe/recipe.h"

namespace nnq::recipe {

/// Post-training quantization, then fine-tuning if the drop on held-out images demands it. Throws nnq::Error for
/// options that do not fit.
Recipe recipe_of(const CompressRequest& request);

}  // namespace nnq::recipe
