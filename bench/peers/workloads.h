// The workloads of the comparison, by group. Each is made when its turn comes, so that one is in memory at a time.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "contender.h"
#include "onnxruntime.h"

namespace nnq::peers {

struct Setting {
  OnnxRuntime& runtime;
  std::filesystem::path folder;  // models made on the way
  bool quick = false;            // fewer contenders and shapes
};

struct Task {
  std::string group;  // file of the record: "gemm", "convolution", "matvec", "lstm", "networks"
  std::string name;
  bool quick = false;  // belongs to the quick subset
  std::function<Workload(const Setting&)> make;
  int order = 0;  // on the page
};

std::vector<Task> gemm_tasks();
std::vector<Task> convolution_tasks();
std::vector<Task> matvec_tasks();
std::vector<Task> lstm_tasks();
std::vector<Task> network_tasks();

/// Adds the contender where there is one.
inline void add(Workload& workload, std::optional<Contender> contender) {
  if (contender) workload.contenders.push_back(std::move(*contender));
}

}  // namespace nnq::peers
