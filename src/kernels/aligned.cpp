#include "kernels/aligned.h"

#include <utility>

namespace nnq {

constexpr std::size_t line = 64;

PackedMemory::PackedMemory(PackedMemory&& other) noexcept { *this = std::move(other); }

PackedMemory& PackedMemory::operator=(PackedMemory&& other) noexcept {
  start_ = std::exchange(other.start_, nullptr);
  size_ = std::exchange(other.size_, 0);
  owner_ = std::move(other.owner_);
  return *this;
}

PackedMemory::~PackedMemory() = default;

void PackedMemory::take(std::size_t bytes) {
  std::shared_ptr<std::byte[]> memory(new std::byte[bytes + line]);
  start_ = memory.get() + (line - reinterpret_cast<std::uintptr_t>(memory.get()) % line) % line;
  size_ = bytes;
  owner_ = std::move(memory);
}

void PackedMemory::point(std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
  start_ = const_cast<std::byte*>(bytes.data());
  size_ = bytes.size();
  owner_ = std::move(owner);
}

}  // namespace nnq
