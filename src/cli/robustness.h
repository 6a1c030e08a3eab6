// What `nnq attack` and experiments with attacks share: from a model's file to an attack's report.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nnq/robustness.h"

namespace nnq::cli {

struct AttackSettings {
  std::vector<std::string> attacks = {"fgsm", "pgd"};
  std::vector<std::string> epsilons = {"8/255"};  // "8/255" or "0.03"
  std::vector<std::string> parameters;            // "steps=20"
  std::string data;                               // empty: what the model was trained on
  std::string source;            // model of the gradients; empty: the model, or the .onnx beside a .nnq
  std::string backend = "auto";  // auto: runtime for a .nnq, executor for an .onnx; or one of these
  std::string gradient = "own";
  double beta = 2;
  std::int64_t limit = 1000, draws = 0, seed = 1;
  bool diagnose = true;
  int threads = 0;
  std::vector<float> mean, std;
};

/// The files of src/methods/attack/, without loading the training library.
std::vector<std::string> known_attacks();

/// Attacks the model in `file` on the test split. Throws nnq::Error.
AttackReport attack_file(const std::string& file, const AttackSettings& settings);

}  // namespace nnq::cli
