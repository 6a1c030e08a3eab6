// Graph to program, program to file.
#pragma once

#include <filesystem>

#include "nnq/graph.h"

namespace nnq {

struct Program;

/// Turns a deployable graph (docs/quantized-graph.md) into a program: thresholds instead of float chains, packed
/// weights, float operators where nothing else fits. Any importable graph lowers. Throws nnq::Error naming the layer,
/// e.g. when an accumulator could overflow.
Program lower(const Graph& graph);

/// Writes a .nnq atomically; returns its bytes. The same program gives the same bytes.
std::size_t write_program(const Program& program, const std::filesystem::path& file);

}  // namespace nnq
