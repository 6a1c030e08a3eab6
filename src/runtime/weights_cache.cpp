#include "runtime/weights_cache.h"

#include <unistd.h>

#include <algorithm>

#include "core/atomic_file.h"
#include "core/checksum.h"
#include "runtime/file_bytes.h"
#include "runtime/image.h"

namespace nnq {
namespace {

#if defined(__x86_64__)
constexpr char machine[] = "x86_64";
#elif defined(__aarch64__)
constexpr char machine[] = "aarch64";
#else
constexpr char machine[] = "other";
#endif

std::string file_name(std::uint64_t content) {
  std::string name = "weights-";
  for (int shift = 60; shift >= 0; shift -= 4) name += "0123456789abcdef"[content >> shift & 15];
  return name + "-" + machine + ".bin";
}

}  // namespace

WeightsCache::WeightsCache(const std::string& folder, const CachedModel& model) : model_(model) {
  if (model.content == 0) {
    notes.emplace_back("weights cache: the model was made in memory, its weights are not kept");
    return;
  }
  file_ = folder + "/" + file_name(model.content);
  if (access(file_.c_str(), F_OK) != 0) return;
  const Status status = load(entries_, owner_);
  if (status.ok()) return;
  entries_.clear();
  notes.push_back(text("weights cache: ", file_, " is ignored: ", status.message()));
}

Status WeightsCache::load(WeightsEntries& entries, std::shared_ptr<const void>& owner) const {
  std::shared_ptr<FileBytes> bytes;
  NNQ_TRY(open_file(file_, {.private_copy = model_.private_copy, .own = true}, bytes));
  NNQ_TRY(read_weights(bytes->bytes(), model_.content, entries));
  owner = bytes;
  return {};
}

std::shared_ptr<const void> WeightsCache::find(const std::string& key, const PackedKind& kind) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  std::shared_ptr<const void> packed;
  if (found->second.intact()) packed = kind.packed(found->second.parts, owner_);
  if (packed != nullptr) return packed;
  notes.push_back(text("weights cache: ", file_, " is damaged: weights '", key, "' are packed anew"));
  damaged_.push_back(key);
  entries_.erase(found);
  return nullptr;
}

void WeightsCache::keep(const std::string& key, const PackedKind& kind, const std::shared_ptr<const void>& packed) {
  if (!file_.empty() && !entries_.contains(key)) kept_.push_back({key, &kind, packed});
}

bool WeightsCache::save() {
  std::vector<std::shared_ptr<const void>> alive;
  WeightsEntries made;
  for (const Kept& k : kept_) {
    const std::shared_ptr<const void> packed = k.packed.lock();
    if (packed == nullptr) continue;  // of a kernel that was tried and not taken
    made.try_emplace(k.key, weights_entry(k.kind->parts(packed.get())));
    alive.push_back(packed);
  }
  kept_.clear();
  if (made.empty()) return false;
  if (checksum64(model_.image.subspan(sizeof(ImageHeader))) != model_.content) {
    notes.emplace_back("weights cache: the model's bytes are not those its header speaks of, its weights are not kept");
    return false;
  }
  // Another process may have written since: what it has stays.
  WeightsEntries all;
  std::shared_ptr<const void> owner;
  if (!load(all, owner).ok()) all.clear();
  for (const std::string& key : damaged_) all.erase(key);
  all.merge(made);
  remove_stale_temporaries(std::filesystem::path(file_).parent_path());
  const Status status = write_weights(file_, model_.content, all);
  if (!status.ok()) notes.push_back(text("weights cache: it could not be written: ", status.message()));
  return status.ok();
}

}  // namespace nnq
