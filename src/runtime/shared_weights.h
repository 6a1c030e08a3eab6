// Weights as kernels want them, shared by the sessions of a model: made once or found in a cache on disk, const from
// then on, gone with the last plan that uses them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "runtime/weights_cache.h"

namespace nnq {

/// For any number of threads.
class SharedWeights {
 public:
  /// What make() gives, a std::shared_ptr<const T>, for this key, which stands for all that it depends on, T included.
  /// T lists its members (packed_fields.h): with a cache it is first looked for there, and kept there when it was made.
  /// Who asks for a key while another thread makes it waits for that; other keys are made meanwhile.
  template <class T, class F>
  std::shared_ptr<const T> get(const std::string& key, F&& make, WeightsCache* cache = nullptr) {
    return std::static_pointer_cast<const T>(get_any(
        key, PackedKind::of<T>(), [&]() -> std::shared_ptr<const void> { return make(); }, cache));
  }

  /// Bytes of all that plans hold now, wherever they lie.
  std::int64_t bytes() const;

 private:
  struct Entry {
    std::mutex making;
    std::weak_ptr<const void> made;
    std::int64_t bytes = 0;
  };

  std::shared_ptr<const void> get_any(const std::string& key, const PackedKind& kind,
                                      const std::function<std::shared_ptr<const void>()>& make, WeightsCache* cache);
  std::shared_ptr<Entry> find(const std::string& key);

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
};

}  // namespace nnq
