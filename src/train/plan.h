// A Graph compiled for repeated execution: a flat list of steps over resolved tensor slots.
#pragma once

#include <ATen/ATen.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nnq/graph.h"
#include "train/executor.h"
#include "train/torch_op.h"

namespace nnq::train {

/// A float initializer that training changes.
struct Variable {
  std::string name;
  at::Tensor tensor;
  bool trainable = true;
  bool decay = true;
  Quantizer* quantizer = nullptr;
};

struct PlacedQuantizer {
  std::size_t node = 0;  // index into Plan::graph.nodes
  Role role = Role::weight;
  std::unique_ptr<Quantizer> quantizer;
};

struct Step {
  std::size_t node = 0;
  Kernel kernel;  // empty: a quantizer step
  Quantizer* quantizer = nullptr;
  Role role = Role::weight;
  std::vector<at::Tensor*> in, out;  // nullptr: left out / not wanted
  std::vector<at::Tensor*> release;  // dead after this step
  bool overwrite_first = false;      // see Args
  bool absorbed = false;             // a Relu whose only readers are quantizers that clamp at 0 themselves
};

struct Plan {
  Graph graph;                     // as given; initializers of variables and state are written back on demand
  std::deque<Variable> variables;  // deques: addresses stay
  std::deque<at::Tensor> slots;
  std::map<std::string, at::Tensor*> slot_of;  // inputs and transient values
  std::vector<PlacedQuantizer> quantizers;     // in node order
  std::vector<Step> steps;
  std::vector<at::Tensor*> outputs;
};

/// Throws nnq::Error naming the node that cannot run. Constant subgraphs are evaluated once, here.
std::unique_ptr<Plan> compile(Graph graph, const Executor::Options& options);

}  // namespace nnq::train
