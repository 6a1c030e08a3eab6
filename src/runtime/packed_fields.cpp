#include "runtime/packed_fields.h"

namespace nnq {

void PackedTaker::number(const void* value, std::size_t bytes) {
  const auto* from = static_cast<const std::byte*>(value);
  parts_.numbers.insert(parts_.numbers.end(), from, from + bytes);
}

void PackedTaker::array(const PackedMemory& a, std::size_t element) {
  const std::uint64_t shape[2] = {element, a.bytes().size() / element};
  number(shape, sizeof(shape));
  parts_.arrays.push_back(a.bytes());
}

void PackedFinder::number(void* value, std::size_t bytes) {
  good_ = good_ && bytes <= parts_.numbers.size() - number_;
  if (!good_) return;
  std::memcpy(value, parts_.numbers.data() + number_, bytes);
  number_ += bytes;
}

std::size_t PackedFinder::at_most(std::uint64_t count) {
  good_ = good_ && count <= parts_.numbers.size() - number_;
  return good_ ? static_cast<std::size_t>(count) : 0;
}

void PackedFinder::array(PackedMemory& a, std::size_t element) {
  std::uint64_t shape[2] = {};
  number(shape, sizeof(shape));
  good_ = good_ && array_ < parts_.arrays.size() && shape[0] == element &&
          parts_.arrays[array_].size() / element == shape[1] && parts_.arrays[array_].size() % element == 0;
  if (good_) a.point(parts_.arrays[array_++], owner_);
}

bool PackedFinder::complete() const {
  return good_ && number_ == parts_.numbers.size() && array_ == parts_.arrays.size();
}

std::int64_t packed_bytes(const PackedParts& parts) {
  std::size_t bytes = 0;
  for (const std::span<const std::byte> a : parts.arrays) bytes += a.size();
  return static_cast<std::int64_t>(bytes);
}

}  // namespace nnq
