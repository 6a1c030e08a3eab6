// Arrays that start on a cache line: packed weights, so that no vector load crosses a line. They lie in memory of their
// own, or in a mapped file (runtime/weights_cache.h); kernels cannot tell.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

namespace nnq {

/// Bytes of whole cache lines: where one part of a step's memory may end and the next begin.
constexpr std::size_t whole_lines(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

/// The bytes of an array, whatever its elements are.
class PackedMemory {
 public:
  PackedMemory() = default;
  PackedMemory(PackedMemory&& other) noexcept;
  PackedMemory& operator=(PackedMemory&& other) noexcept;
  PackedMemory(const PackedMemory&) = delete;  // would share what one of them writes
  PackedMemory& operator=(const PackedMemory&) = delete;
  ~PackedMemory();

  /// New memory of its own, nothing in it.
  void take(std::size_t bytes);
  /// Somebody else's, never written to, kept alive by `owner`.
  void point(std::span<const std::byte> bytes, std::shared_ptr<const void> owner);
  std::span<const std::byte> bytes() const { return {start_, size_}; }

 protected:
  std::byte* start_ = nullptr;
  std::size_t size_ = 0;

 private:
  std::shared_ptr<const void> owner_;
};

template <class T>
class PackedArray : public PackedMemory {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  /// New memory of its own.
  void assign(std::size_t count, T value = T{}) {
    take(count * sizeof(T));
    std::fill_n(data(), count, value);
  }
  void assign(std::span<const T> elements) {
    take(elements.size() * sizeof(T));
    std::copy(elements.begin(), elements.end(), data());
  }

  std::int64_t size() const { return static_cast<std::int64_t>(size_ / sizeof(T)); }
  bool empty() const { return size_ == 0; }
  T* data() { return reinterpret_cast<T*>(start_); }
  const T* data() const { return reinterpret_cast<const T*>(start_); }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }
  T* begin() { return data(); }
  T* end() { return data() + size_ / sizeof(T); }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_ / sizeof(T); }
};

using AlignedBytes = PackedArray<std::uint8_t>;

}  // namespace nnq
