// Files on disk are never half-written: written aside, synced, renamed over.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#if defined(__cpp_exceptions)
#include "nnq/error.h"
#endif
#include "nnq/status.h"

namespace nnq {

/// Writes `bytes` to a temporary file in the same directory, syncs it, renames it to `file`, syncs the directory. On
/// failure the old file (or none) stays as it was. Creates missing parent directories. A symbolic link stays one: the
/// file that it names is replaced. What is no regular file (a device, a pipe) is refused.
Status try_write_file_atomically(const std::filesystem::path& file, std::span<const std::byte> bytes);
/// The same, of parts that follow each other.
Status try_write_file_atomically(const std::filesystem::path& file,
                                 const std::vector<std::span<const std::byte>>& parts);

#if defined(__cpp_exceptions)
inline void write_file_atomically(const std::filesystem::path& file, std::span<const std::byte> bytes) {
  throw_if_error(try_write_file_atomically(file, bytes));
}
inline void write_file_atomically(const std::filesystem::path& file, std::string_view text) {
  write_file_atomically(file, std::as_bytes(std::span<const char>(text.data(), text.size())));
}
#endif

/// What can be known of an output before the work is done: `file` is a file or may become one, its folder can be
/// written to, it is none of `inputs`, and its name does not end as another of nnq's formats does (extension: ".nnq";
/// empty: any will do). The message names the file.
Status check_output(const std::filesystem::path& file, const std::vector<std::filesystem::path>& inputs,
                    std::string_view extension);

/// Removes what processes that are dead left of files they were writing in `folder` and below. Returns how many.
std::size_t remove_stale_temporaries(const std::filesystem::path& folder);

/// The whole file, refused beyond max_bytes.
Status try_read_file(const std::filesystem::path& file, std::size_t max_bytes, std::vector<std::byte>& bytes);

}  // namespace nnq
