// `nnq compress` without a recipe: the recipe its options stand for.
#pragma once

#include "nnq/graph.h"
#include "nnq/train_api.h"
#include "recipe/recipe.h"

namespace nnq::recipe {

/// Post-training quantization, then fine-tuning if the drop on held-out images demands it. `graph` is the request's
/// model; the options are checked already (check_request.h).
Recipe recipe_of(const CompressRequest& request, const Graph& graph);

}  // namespace nnq::recipe
