// Everything a training run needs to go on, as one file: a kill at any moment leaves the old one or the new one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nnq/tensor.h"
#include "train/trainer.h"

namespace nnq::train {

struct Checkpoint {
  /// What the run was made of ("batch" -> "128", ...): a checkpoint only resumes its own run.
  std::map<std::string, std::string> run;
  std::int64_t epoch = 0, batch = 0, step = 0;  // done: epochs, batches of the epoch begun, optimizer steps
  double loss_sum = 0, seconds = 0;             // of the epoch begun
  std::int64_t correct = 0, seen = 0;
  double best_validation = -1;
  std::vector<EpochReport> history;
  /// "model/<parameter>", "optimizer/<state>", "average/<parameter>", "best/<parameter>"
  std::map<std::string, Tensor> tensors;
};

/// Format: "NNQTRAIN", version u32, 0 u32, body length u64, hash64 of the body u64; body: length of JSON u64, JSON,
/// tensor memory in the order of JSON's table. Little-endian.
std::vector<std::byte> write_checkpoint(const Checkpoint& checkpoint);
/// Throws nnq::Error (where: `name`) for anything but a whole, unchanged checkpoint.
Checkpoint read_checkpoint(std::span<const std::byte> bytes, const std::string& name);

std::filesystem::path checkpoint_file(const std::filesystem::path& folder);
void save_checkpoint(const Checkpoint& checkpoint, const std::filesystem::path& folder);
/// nullopt when the folder has none.
std::optional<Checkpoint> load_checkpoint(const std::filesystem::path& folder);

}  // namespace nnq::train
