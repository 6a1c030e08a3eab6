// The ONNX file that a run starts from.
#pragma once

#include <filesystem>

#include "nnq/graph.h"

namespace nnq::recipe {

/// import_onnx(), with a word of its own for a packed model: its weights are codes, nothing can be trained from them.
Graph import_float_model(const std::filesystem::path& file);

}  // namespace nnq::recipe
