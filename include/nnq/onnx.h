// ONNX files in and out, opset 7 to 21 (opsets 1 to 6 are read, too, and rewritten as 7). The only room that sees
// protobuf is src/onnx.
#pragma once

#include <filesystem>

#include "nnq/graph.h"

namespace nnq {

struct ImportOptions {
  bool simplify = true;                          // run nnq::simplify on the result
  std::size_t max_bytes = std::size_t{4} << 30;  // refuse larger files and larger declared tensors
};

/// Reads a model: operators upgraded to opset kOnnxOpset semantics where versions differ, model-local functions of
/// foreign domains inlined (nnq's own stay nodes), external data read only from beside the file.
/// Throws nnq::Error naming file, node and what to do: truncated, unknown operator, missing initializer, cycle, ...
Graph import_onnx(const std::filesystem::path& file, const ImportOptions& options = {});
/// The same from memory; `name` stands for the file in errors.
Graph import_onnx_bytes(std::span<const std::byte> bytes, const std::string& name, const ImportOptions& options = {});

/// Writes atomically (aside, fsync, rename). ai.nnq operators get model-local function bodies of standard operators.
/// Runs ONNX's checker on what it writes (opsets the installed checker knows). Returns the bytes written.
std::size_t export_onnx(const Graph& graph, const std::filesystem::path& file);
std::string export_onnx_bytes(const Graph& graph);

}  // namespace nnq
