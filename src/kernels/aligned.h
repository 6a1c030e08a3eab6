// Bytes that start on a cache line: packed weights, so that no vector load crosses a line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nnq {

class AlignedBytes {
 public:
  void assign(std::size_t bytes) {
    memory_.assign(bytes + line, 0);
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    start_ = (line - address % line) % line;
  }
  /// Bytes asked for.
  std::int64_t size() const { return memory_.empty() ? 0 : static_cast<std::int64_t>(memory_.size() - line); }
  std::uint8_t* data() { return memory_.data() + start_; }
  const std::uint8_t* data() const { return memory_.data() + start_; }

 private:
  static constexpr std::size_t line = 64;
  std::vector<std::uint8_t> memory_;
  std::size_t start_ = 0;
};

}  // namespace nnq
