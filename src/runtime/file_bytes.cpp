#include "runtime/file_bytes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace nnq {
namespace {

constexpr std::size_t line = 64;

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

Status read_all(int descriptor, std::byte* to, std::size_t size) {
  for (std::size_t done = 0; done < size;) {
    const ssize_t n = read(descriptor, to + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Status::bad_file(text("cannot be read at offset ", done));
    done += static_cast<std::size_t>(n);
  }
  return {};
}

}  // namespace

FileBytes::FileBytes(std::size_t size) : memory_(new std::byte[size + line]), size_(size) {
  copy_ = memory_.get() + (line - reinterpret_cast<std::uintptr_t>(memory_.get()) % line) % line;
}

FileBytes::~FileBytes() {
  if (mapped_ != nullptr) munmap(mapped_, size_);
}

Status open_file(const std::string& file, const FileOpening& how, std::shared_ptr<FileBytes>& bytes) {
  const Descriptor d{open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (d.number < 0) return Status::bad_file(text("cannot be opened: ", std::strerror(errno)));
  struct stat info {};
  if (fstat(d.number, &info) != 0 || !S_ISREG(info.st_mode)) return Status::bad_file("is not a file");
  if (how.own && info.st_uid != 0 && info.st_uid != geteuid()) return Status::bad_file("belongs to another user");
  if (info.st_size == 0) return Status::bad_file("is empty");
  const auto size = static_cast<std::size_t>(info.st_size);
  if (!how.private_copy) {
    void* mapped = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, d.number, 0);
    if (mapped != MAP_FAILED) {
      bytes = std::make_shared<FileBytes>(mapped, size);
      return {};
    }
  }
  bytes = std::make_shared<FileBytes>(size);
  return read_all(d.number, bytes->copy(), size);
}

}  // namespace nnq
