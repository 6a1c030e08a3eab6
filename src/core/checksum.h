// A checksum for bytes by the megabyte, at the speed of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace nnq {

/// XXH64 (xxhash.com, seed 0) of the bytes: finds damage and tells contents apart; no defence against who forges them.
std::uint64_t checksum64(std::span<const std::byte> bytes) noexcept;

}  // namespace nnq
