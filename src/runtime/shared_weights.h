// Weights as kernels want them, shared by the sessions of a model: made once, const from then on, gone with the last
// plan that uses them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace nnq {

/// For any number of threads. What is kept says its own size by packed_bytes().
class SharedWeights {
 public:
  /// What make() gives, a std::shared_ptr<const T>, for this key, which stands for all that it depends on, T included.
  /// Who asks for a key while another thread makes it waits for that; other keys are made meanwhile.
  template <class T, class F>
  std::shared_ptr<const T> get(const std::string& key, F&& make) {
    const std::shared_ptr<Entry> entry = find(key);
    const std::lock_guard<std::mutex> lock(entry->making);
    if (const std::shared_ptr<const void> made = entry->made.lock()) return std::static_pointer_cast<const T>(made);
    const std::shared_ptr<const T> made = make();
    entry->made = made;
    entry->bytes = made->packed_bytes();
    return made;
  }

  /// Bytes of all that plans hold now.
  std::int64_t bytes() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::int64_t sum = 0;
    for (const auto& [key, entry] : entries_) {
      const std::lock_guard<std::mutex> made(entry->making);
      sum += entry->made.expired() ? 0 : entry->bytes;
    }
    return sum;
  }

 private:
  struct Entry {
    std::mutex making;
    std::weak_ptr<const void> made;
    std::int64_t bytes = 0;
  };

  std::shared_ptr<Entry> find(const std::string& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::shared_ptr<Entry>& entry = entries_[key];
    if (entry == nullptr) entry = std::make_shared<Entry>();
    return entry;
  }

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
};

}  // namespace nnq
