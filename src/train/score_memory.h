// What a teacher said of images, kept: where images are not shifted, each epoch asks for the same.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "nnq/tensor.h"

namespace nnq::train {

/// Scores by a 64-bit hash of an image's bytes. Two images of a set of a million have the same hash with a probability
/// of 3e-8.
class ScoreMemory {
 public:
  static constexpr std::int64_t default_bytes = std::int64_t{64} << 20;

  /// At most `bytes` of scores are kept; what comes later is computed each time.
  explicit ScoreMemory(std::int64_t bytes = default_bytes) : bytes_(bytes) {}

  /// Scores [n, classes] of float images [n, ...]: remembered, or from `compute`, which gets those of the images that
  /// are new, in their order.
  at::Tensor scores(const at::Tensor& images, const std::function<at::Tensor(const at::Tensor&)>& compute);

  /// Images whose scores are kept.
  std::int64_t size() const { return static_cast<std::int64_t>(keys_.size()); }

  /// "teacher/keys" [n] and "teacher/scores" [n, classes] for a checkpoint: scores made in another batch may differ in
  /// their last bit, and a resumed training must not.
  void save(std::map<std::string, Tensor>& tensors) const;
  /// What save() put there, if anything. Throws nnq::Error when the two do not belong together.
  void restore(const std::map<std::string, Tensor>& tensors);

 private:
  void keep(std::uint64_t key, const float* row);

  std::int64_t bytes_, classes_ = 0;
  std::vector<std::uint64_t> keys_;
  std::vector<float> scores_;                               // a row of classes_ for each key
  std::unordered_map<std::uint64_t, std::int64_t> places_;  // key to row
};

}  // namespace nnq::train
