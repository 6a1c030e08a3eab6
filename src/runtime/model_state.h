// What a loaded model holds; sessions see it too.
#pragma once

#include "nnq/program.h"
#include "nnq/runtime.h"
#include "runtime/shared_weights.h"

namespace nnq {

struct Model::State {
  State(Program made, std::size_t bytes);
  Program program;
  std::vector<ModelPort> inputs, outputs;
  std::size_t file_bytes;  // 0: made in memory
  SharedWeights weights;   // of the sessions' plans
};

}  // namespace nnq
