// A file's bytes in memory: mapped, so that processes share them, or copied.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "nnq/status.h"

namespace nnq {

class FileBytes {
 public:
  FileBytes(void* mapped, std::size_t size) : mapped_(mapped), size_(size) {}
  /// Room for a copy, on a cache line.
  explicit FileBytes(std::size_t size);
  ~FileBytes();
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;
  std::byte* copy() { return copy_; }
  std::span<const std::byte> bytes() const {
    return {mapped_ != nullptr ? static_cast<const std::byte*>(mapped_) : copy_, size_};
  }

 private:
  void* mapped_ = nullptr;
  std::unique_ptr<std::byte[]> memory_;
  std::byte* copy_ = nullptr;  // in memory_
  std::size_t size_;
};

struct FileOpening {
  bool private_copy = false;  // read instead of mapped: later changes of the file do not matter
  bool own = false;           // refuse a file that belongs neither to the user nor to root
};

/// Bad file: it cannot be opened or read, is no regular file, is empty. The message leaves the file's name out.
Status open_file(const std::string& file, const FileOpening& how, std::shared_ptr<FileBytes>& bytes);

}  // namespace nnq
