// Arrays that start on a cache line: packed weights, so that no vector load crosses a line. They lie in memory of their
// own, or in a mapped file (runtime/weights_cache.h); kernels cannot tell.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace nnq {

template <class T>
class PackedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr std::size_t line = 64;

  PackedArray() = default;
  /// Somebody else's elements, never written to, kept alive by `owner`.
  PackedArray(std::span<const T> elements, std::shared_ptr<const void> owner)
      : owner_(std::move(owner)), data_(const_cast<T*>(elements.data())), count_(elements.size()) {}
  PackedArray(PackedArray&& other) noexcept { *this = std::move(other); }
  PackedArray& operator=(PackedArray&& other) noexcept {
    owner_ = std::move(other.owner_);
    data_ = std::exchange(other.data_, nullptr);
    count_ = std::exchange(other.count_, 0);
    return *this;
  }
  PackedArray(const PackedArray&) = delete;  // would share what one of them writes
  PackedArray& operator=(const PackedArray&) = delete;
  ~PackedArray() = default;

  /// New memory of its own.
  void assign(std::size_t count, T value = T{}) {
    std::shared_ptr<std::byte[]> memory(new std::byte[count * sizeof(T) + line]);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.get());
    data_ = reinterpret_cast<T*>(memory.get() + (line - address % line) % line);
    count_ = count;
    owner_ = std::move(memory);
    std::fill_n(data_, count, value);
  }
  void assign(std::span<const T> elements) {
    assign(elements.size());
    std::copy(elements.begin(), elements.end(), data_);
  }

  std::int64_t size() const { return static_cast<std::int64_t>(count_); }
  bool empty() const { return count_ == 0; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + count_; }

 private:
  std::shared_ptr<const void> owner_;
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

using AlignedBytes = PackedArray<std::uint8_t>;

}  // namespace nnq
