// A small problem and a small network for tests of the training loop.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

#include "core/random.h"
#include "nnq/dataset.h"
#include "nnq/quantize.h"
#include "nnq/zoo.h"
#include "train/trainer.h"

namespace nnq::train::testing {

/// Noisy 4x4 images; the class says which row is bright.
inline Samples bright_rows(std::int64_t count, std::uint64_t seed) {
  Samples samples;
  samples.images = Tensor(DType::u8, {count, 1, 4, 4});
  samples.labels = Tensor(DType::i64, {count});
  samples.classes = {"a", "b", "c", "d"};
  samples.source = "synthetic";
  auto* pixels = samples.images.mutable_as<std::uint8_t>();
  auto* labels = samples.labels.mutable_as<std::int64_t>();
  Random random(seed);
  for (std::int64_t n = 0; n < count; ++n) {
    labels[n] = static_cast<std::int64_t>(random.below(4));
    for (std::int64_t i = 0; i < 16; ++i)
      pixels[n * 16 + i] = static_cast<std::uint8_t>(random.below(160) + (i / 4 == labels[n] ? 95 : 0));
  }
  return samples;
}

inline Preprocessing centred() {
  Preprocessing p;
  p.mean = {0.5F};
  p.std = {0.25F};
  return p;
}

inline Graph small_mlp(const std::string& activation = "relu") {
  return build_zoo("mlp", {{"hidden", "24,16"}, {"size", "4"}, {"classes", "4"}, {"activation", activation}});
}

/// The same with quantizers on weights and activations of every layer.
inline Graph quantized_mlp(const std::string& method, int weight_bits, int activation_bits) {
  PlacementOptions placement;
  LayerRule rule;
  rule.glob = "*";
  rule.weights.method = rule.activations.method = method;
  rule.weights.bits = weight_bits;
  rule.activations.bits = activation_bits;
  placement.rules = {rule};
  return place_quantizers(small_mlp(method == "bnn" ? "hardtanh" : "relu"), placement);
}

inline TrainOptions quick_options() {
  TrainOptions options;
  options.epochs = 4;
  options.batch = 16;
  options.optimizer.kind = "adam";
  options.optimizer.learning_rate = 0.01;
  options.augmentation.flip = true;
  return options;
}

/// A folder of its own, removed at the end.
struct TemporaryFolder {
  std::filesystem::path path;
  explicit TemporaryFolder(const std::string& name)
      : path(std::filesystem::temp_directory_path() / ("nnq_" + name + "_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
};

}  // namespace nnq::train::testing
