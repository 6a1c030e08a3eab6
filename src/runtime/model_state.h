// What a loaded model holds; sessions see it too.
#pragma once

#include <cstdint>
#include <span>

#include "nnq/program.h"
#include "nnq/runtime.h"
#include "runtime/shared_weights.h"

namespace nnq {

struct Model::State {
  State(Program made, std::span<const std::byte> bytes, bool copied);
  /// What the file's content is known by: as its header says, or counted. 0: there is no file.
  std::uint64_t content() const;
  /// Counted from the bytes, which reads them all.
  std::uint64_t counted_content() const;

  Program program;
  std::vector<ModelPort> inputs, outputs;
  std::span<const std::byte> image;  // the file, kept by the program; none: made in memory
  bool private_copy;                 // nothing may depend on what becomes of files
  SharedWeights weights;             // of the sessions' plans
};

}  // namespace nnq
