// Small labelled images and recipes on them, and what a run left behind.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/random.h"
#include "nnq/dataset.h"
#include "nnq/error.h"

namespace nnq::recipe::testing {

inline std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline nlohmann::json read_json(const std::filesystem::path& file) {
  return nlohmann::json::parse(read_text(file), nullptr, false);
}

inline std::vector<nlohmann::json> read_metrics(const std::filesystem::path& run) {
  std::vector<nlohmann::json> records;
  std::ifstream in(run / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) records.push_back(nlohmann::json::parse(line, nullptr, false));
  return records;
}

/// The message of the nnq::Error that this throws.
std::string message_of(const auto& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

/// A new empty working directory; runs/ and the run store are its own. Removed at the end.
class WorkingFolder {
 public:
  WorkingFolder() : before_(std::filesystem::current_path()) {
    std::string name = (std::filesystem::temp_directory_path() / "nnq_e2e_XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
    std::filesystem::current_path(path_);
  }
  ~WorkingFolder() {
    std::error_code ignored;
    std::filesystem::current_path(before_, ignored);
    std::filesystem::remove_all(path_, ignored);
  }
  WorkingFolder(const WorkingFolder&) = delete;
  WorkingFolder& operator=(const WorkingFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path before_, path_;
};

/// Noisy images of four classes, [count, 1, size, size]: the class says which quarter is brighter. Written as
/// images.npy and labels.npy; gives back the data set spec. Every split of such a spec is all of it.
inline std::string write_quarters(const std::filesystem::path& folder, std::int64_t count, std::int64_t size) {
  Random random(5);
  Tensor images(DType::u8, {count, 1, size, size}), labels(DType::i64, {count});
  auto* pixel = images.mutable_as<std::uint8_t>();
  for (std::int64_t n = 0; n < count; ++n) {
    const auto label = static_cast<std::int64_t>(random.below(4));
    labels.mutable_as<std::int64_t>()[n] = label;
    for (std::int64_t i = 0; i < size * size; ++i) {
      const std::int64_t quarter = (i / size >= size / 2 ? 2 : 0) + (i % size >= size / 2 ? 1 : 0);
      *pixel++ = static_cast<std::uint8_t>(random.below(190) + (quarter == label ? 65 : 0));
    }
  }
  save_npy(images, folder / "images.npy");
  save_npy(labels, folder / "labels.npy");
  return "npy:" + (folder / "images.npy").string() + "," + (folder / "labels.npy").string();
}

/// Head of a recipe: everything before its stages.
inline std::string recipe_head(const std::string& data, const std::string& model, std::int64_t validation = 64) {
  return "name = 'little'\ndata = '" + data + "'\nvalidation = " + std::to_string(validation) + "\n" + model +
         "\n[input]\nmean = [0.5]\nstd = [0.5]\n";
}

inline std::string quantize_stage(const std::string& method, int weights, int activations) {
  return "[[stage]]\nkind = 'quantize'\n[[stage.rule]]\nlayers = '*'\nweights = { method = '" + method +
         "', bits = " + std::to_string(weights) + " }\nactivations = { method = '" + method +
         "', bits = " + std::to_string(activations) + " }\n[[stage]]\nkind = 'calibrate'\nimages = 128\n";
}

inline std::string train_stage(int epochs) {
  return "[[stage]]\nkind = 'train'\nepochs = " + std::to_string(epochs) +
         "\nbatch = 32\noptimizer = 'adam'\nlearning_rate = 0.005\n";
}

constexpr const char* small_mlp =
    "[model]\nzoo = 'mlp'\nparameters = { hidden = '24,16', size = 8, classes = 4, activation = 'relu' }\n";
constexpr const char* small_lenet = "[model]\nzoo = 'lenet5'\nparameters = { size = 12, classes = 4 }\n";

}  // namespace nnq::recipe::testing
