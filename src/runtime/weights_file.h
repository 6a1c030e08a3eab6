// The file of a weights cache: packed weights of one model by name, to be mapped and pointed into.
//
//   bytes 0 .. 63   head: magic, format, version of nnq, content of the model, sizes, checksum of head and directory
//   directory       every entry's key and numbers, and where its arrays lie, with their checksums
//   arrays          each on a 64-byte line
//
// Numbers are little-endian. Nothing in it is believed: sizes are checked against the file's, head and directory
// against their checksum, and each array against its own before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "nnq/status.h"
#include "runtime/packed_fields.h"

namespace nnq {

/// To be raised when weights under the same key become other bytes: a kernel wants another order, a packed type other
/// members. (A new kernel, a new key: no.) tests/runtime/weights_cache_test.cpp fails where that was forgotten.
inline constexpr std::uint32_t weights_format = 3;

struct WeightsEntry {
  PackedParts parts;
  std::vector<std::uint64_t> checksums;  // of the arrays
  /// The arrays are as they were written; reads them all.
  bool intact() const;
};
using WeightsEntries = std::map<std::string, WeightsEntry>;  // by key

/// An entry of these parts; reads all arrays.
WeightsEntry weights_entry(PackedParts parts);

/// Entries whose arrays point into `bytes`, which is on a 64-byte line. Bad file: cut short, damaged, of another
/// version of nnq or another model; the message says which.
Status read_weights(std::span<const std::byte> bytes, std::uint64_t content, WeightsEntries& entries);

/// Writes the file aside and renames it into place. Fails as try_write_file_atomically does.
Status write_weights(const std::string& file, std::uint64_t content, const WeightsEntries& entries);

}  // namespace nnq
