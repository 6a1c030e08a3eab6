#include "runtime/shared_weights.h"

namespace nnq {

std::shared_ptr<const void> SharedWeights::get_any(const std::string& key, const PackedKind& kind,
                                                   const std::function<std::shared_ptr<const void>()>& make,
                                                   WeightsCache* cache) {
  const std::shared_ptr<Entry> entry = find(key);
  const std::lock_guard<std::mutex> lock(entry->making);
  std::shared_ptr<const void> made = entry->made.lock();
  const bool shared = made != nullptr;
  if (!shared && cache != nullptr) made = cache->find(key, kind);
  if (made == nullptr) made = make();
  if (cache != nullptr) cache->keep(key, kind, made);
  if (shared) return made;
  entry->made = made;
  entry->bytes = packed_bytes(kind.parts(made.get()));
  return made;
}

std::int64_t SharedWeights::bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::int64_t sum = 0;
  for (const auto& [key, entry] : entries_) {
    const std::lock_guard<std::mutex> made(entry->making);
    sum += entry->made.expired() ? 0 : entry->bytes;
  }
  return sum;
}

std::shared_ptr<SharedWeights::Entry> SharedWeights::find(const std::string& key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::shared_ptr<Entry>& entry = entries_[key];
  if (entry == nullptr) entry = std::make_shared<Entry>();
  return entry;
}

}  // namespace nnq
