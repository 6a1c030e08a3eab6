// Packed weights on disk, for the plans of one model: found in a file that is mapped, or noted to be written to it.
// One object a plan, for one thread; processes and threads meet in the file, which is only ever replaced as a whole.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/weights_file.h"

namespace nnq {

/// How a packed type is taken apart and put together, without its name.
struct PackedKind {
  PackedParts (*parts)(const void* packed);
  std::shared_ptr<const void> (*packed)(const PackedParts& parts, std::shared_ptr<const void> owner);  // or nullptr

  template <class T>
  static const PackedKind& of() {
    static constexpr PackedKind kind{
        [](const void* object) { return parts_of(*static_cast<const T*>(object)); },
        [](const PackedParts& taken, std::shared_ptr<const void> owner) -> std::shared_ptr<const void> {
          return packed_of<T>(taken, std::move(owner));
        }};
    return kind;
  }
};

/// The model whose weights are kept.
struct CachedModel {
  std::uint64_t content = 0;         // Model::State::content(); 0: there is no file
  std::span<const std::byte> image;  // what `content` is to be the checksum of, before anything is written
  bool private_copy = false;         // the cache's file is read, not mapped
};

class WeightsCache {
 public:
  /// Reads what the folder has of this model; a file that cannot be used is ignored, with a note. The model outlives
  /// this; what was found outlives both.
  WeightsCache(const std::string& folder, const CachedModel& model);

  /// What the file has under this key, its checksums verified; nullptr: nothing, or, with a note, it is damaged.
  std::shared_ptr<const void> find(const std::string& key, const PackedKind& kind);
  /// To be written, unless it came from the file or is gone by then.
  void keep(const std::string& key, const PackedKind& kind, const std::shared_ptr<const void>& packed);
  /// Writes what was kept, and what the file has. True: it did, so that a new WeightsCache finds it. A failure is a
  /// note.
  bool save();

  std::vector<std::string> notes;

 private:
  struct Kept {
    std::string key;
    const PackedKind* kind;
    std::weak_ptr<const void> packed;
  };
  Status load(WeightsEntries& entries, std::shared_ptr<const void>& owner) const;

  CachedModel model_;
  std::string file_;
  WeightsEntries entries_;
  std::shared_ptr<const void> owner_;  // of the entries' arrays
  std::vector<Kept> kept_;
  std::vector<std::string> damaged_;  // keys
};

}  // namespace nnq
