// Data sets: found, checked on load, read by index; and the preprocessing that travels with a model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nnq/tensor.h"

namespace nnq {

enum class Split { train, validation, test };

/// One loaded split of labelled images (or of feature vectors): values stay bytes or floats as the file has them.
struct Samples {
  Tensor images;                     // u8 or f32, [count, channels, height, width]
  Tensor labels;                     // i64 [count], each in 0 .. classes - 1
  std::vector<std::string> classes;  // names; size = number of classes
  std::uint64_t hash = 0;            // of the files' contents, for the run's record
  std::string source;                // where it was found, for messages
};

/// What turns raw samples into network input, kept in a model's metadata so that evaluation needs no second
/// description: x = (pixel / 255 - mean[c]) / std[c] for bytes, (x - mean) / std for floats.
struct Preprocessing {
  std::vector<float> mean = {0};  // one value or one a channel
  std::vector<float> std = {1};
  std::vector<std::int64_t> size;  // expected [C, H, W]; empty: as the data has it

  std::map<std::string, std::string> to_metadata() const;  // keys nnq.input.mean, .std, .size
  static Preprocessing from_metadata(const std::map<std::string, std::string>& metadata);
  /// The samples of these numbers, in this order, normalised: float32 [indices.size(), C, H, W] (feature vectors: as
  /// the data has them). Throws nnq::Error when a number is outside the samples, they are not of `size`, or mean and
  /// std have neither one value nor one a channel.
  Tensor apply(const Samples& samples, std::span<const std::int64_t> indices) const;
};

struct Augmentation {
  int shift = 0;      // crop after zero padding (in normalised space: the pad is pixel 0) by this many pixels
  bool flip = false;  // horizontal, probability 1/2
};

/// A registered data set (file src/data/sets/<name>.cpp): how to find it and how to read it.
struct DatasetInfo {
  std::string name;         // "fashion_mnist"
  std::string description;  // one line
  std::string package;      // Debian package that has it, or empty
};
std::vector<DatasetInfo> all_datasets();
/// Directories searched, in order: NNQ_DATA entries, ~/.cache/nnq/data, /usr/share/datasets.
std::vector<std::filesystem::path> dataset_search_path();
/// Loads a split. `spec` is a registered name ("cifar10"), "images:PATH" (class/name.png folders), or
/// "npy:IMAGES.npy,LABELS.npy". Split::validation is not a file: callers cut it from train with split_off(). Throws
/// nnq::Error naming file and offset.
Samples load_dataset(const std::string& spec, Split split);
/// Where `name` was found, or empty; for `nnq data`.
std::filesystem::path find_dataset(const std::string& name);

/// Deterministically (by seed, stratified by nothing) moves `count` random samples of `train` into the returned set.
Samples split_off(Samples& train, std::int64_t count, std::uint64_t seed);

/// Batches of a split in the background: shuffling, augmentation and normalisation are functions of (seed, epoch,
/// position) alone, so that a resumed run sees the same batches whatever the threads do.
class BatchLoader {
 public:
  struct Options {
    std::int64_t batch = 128;
    bool shuffle = false;
    bool drop_last = false;
    std::uint64_t seed = 1;
    Augmentation augmentation = {};
  };
  struct Batch {
    Tensor images;  // f32 [n, C, H, W]
    Tensor labels;  // i64 [n]
  };
  BatchLoader(const Samples& samples, Preprocessing preprocessing, Options options);
  ~BatchLoader();
  BatchLoader(BatchLoader&&) noexcept;
  std::int64_t batches() const;
  /// Starts epoch `epoch` at batch `first` (for resume).
  void start(std::int64_t epoch, std::int64_t first = 0);
  /// False at the end of the epoch.
  bool next(Batch& batch);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Tokens of a text corpus with its vocabulary; words (one sentence a line, "<eos>" appended) or characters.
struct Corpus {
  std::vector<std::int32_t> tokens;
  std::vector<std::string> vocabulary;
};
/// Reads UTF-8 text. With a vocabulary given, unknown words map to "<unk>" (error if it has none).
Corpus load_corpus(const std::filesystem::path& file, bool characters, const std::vector<std::string>& vocabulary = {});

/// NPY 1.0/2.0 files, C order (Fortran order is converted). Atomic write.
Tensor load_npy(const std::filesystem::path& file);
Tensor load_npy_bytes(std::span<const std::byte> bytes, const std::string& name);
void save_npy(const Tensor& tensor, const std::filesystem::path& file);

}  // namespace nnq
