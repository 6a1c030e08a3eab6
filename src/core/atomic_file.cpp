#include "core/atomic_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>

namespace nnq {
namespace {

Status failure(const std::filesystem::path& file, const char* what) {
  return Status::invalid(text(file.string(), ": ", what, ": ", std::strerror(errno)));
}

/// Closes its descriptor on every way out.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int close() {
    const int result = ::close(fd_);
    fd_ = -1;
    return result;
  }

 private:
  int fd_;
};

Status write_all(int fd, std::span<const std::byte> bytes, const std::filesystem::path& file) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return failure(file, "cannot write");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

/// The process of a temporary's name, ".NAME.PID.N"; 0 for other names.
pid_t writer_of(const std::string& name) {
  const std::size_t last = name.rfind('.');
  if (name.empty() || name[0] != '.' || last == 0 || last == std::string::npos) return 0;
  const std::size_t before = name.rfind('.', last - 1);
  if (before == std::string::npos || before == 0) return 0;
  const auto number = [&](std::size_t from, std::size_t to, auto& value) {
    const auto [end, error] = std::from_chars(name.data() + from, name.data() + to, value);
    return error == std::errc() && end == name.data() + to;
  };
  pid_t pid = 0;
  unsigned counter = 0;
  return number(before + 1, last, pid) && number(last + 1, name.size(), counter) && pid > 0 ? pid : 0;
}

/// What `file` names, through symbolic links whose end need not exist; an error for what is no regular file.
Status replaced_file(const std::filesystem::path& file, std::filesystem::path& target) {
  std::error_code error;
  target = file;
  for (int links = 0; links < 40 && std::filesystem::is_symlink(target, error); ++links) {
    const std::filesystem::path next = std::filesystem::read_symlink(target, error);
    if (error) break;
    target = next.is_absolute() ? next : target.parent_path() / next;
  }
  if (std::filesystem::is_symlink(target, error))
    return Status::invalid(text(file.string(), ": its symbolic links lead nowhere"));
  const std::filesystem::file_status status = std::filesystem::status(target, error);
  if (std::filesystem::is_directory(status))
    return Status::invalid(text(file.string(), ": is a directory, not a file"));
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    return Status::invalid(text(file.string(), ": is not a regular file, and would not be one afterwards"));
  return {};
}

/// A file can be made in `folder`, or in the nearest folder above it that exists.
Status check_folder(const std::filesystem::path& file, std::filesystem::path folder) {
  std::error_code error;
  while (!folder.empty() && !std::filesystem::exists(folder, error)) folder = folder.parent_path();
  if (folder.empty()) folder = ".";
  const std::filesystem::path probe = folder / text(".", "probe", ".", static_cast<long>(::getpid()), ".", 0);
  const Descriptor made(::open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (made.get() < 0) return failure(file, "cannot be written");
  ::unlink(probe.c_str());
  return {};
}

}  // namespace

Status check_output(const std::filesystem::path& file, const std::vector<std::filesystem::path>& inputs,
                    std::string_view extension) {
  if (file.empty()) return Status::invalid("the name of the file to write is empty");
  std::filesystem::path target;
  NNQ_TRY(replaced_file(file, target));
  std::error_code error;
  for (const std::filesystem::path& input : inputs) {
    if (std::filesystem::equivalent(target, input, error))
      return Status::invalid(
          text(file.string(), ": is also what is read, and would be overwritten: name another file"));
  }
  const std::string end = file.extension().string();
  for (const char* const other : {".onnx", ".nnq", ".toml", ".npy", ".svg", ".png", ".html", ".json"}) {
    if (!extension.empty() && end == other && end != extension)
      return Status::invalid(text(file.string(), ": would not be a ", end, " file: name it *", std::string(extension)));
  }
  return check_folder(file, target.parent_path());
}

std::size_t remove_stale_temporaries(const std::filesystem::path& folder) {
  DIR* const entries = ::opendir(folder.c_str());
  if (entries == nullptr) return 0;
  std::size_t removed = 0;
  while (const dirent* entry = ::readdir(entries)) {
    const std::string name = entry->d_name;
    struct stat info {};
    if (name == "." || name == ".." || ::fstatat(::dirfd(entries), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      continue;
    if (S_ISDIR(info.st_mode)) {
      removed += remove_stale_temporaries(folder / name);
      continue;
    }
    const pid_t pid = writer_of(name);
    if (pid == 0 || !S_ISREG(info.st_mode) || ::kill(pid, 0) == 0 || errno != ESRCH) continue;
    removed += ::unlinkat(::dirfd(entries), name.c_str(), 0) == 0 ? 1 : 0;
  }
  ::closedir(entries);
  return removed;
}

Status try_write_file_atomically(const std::filesystem::path& file, std::span<const std::byte> bytes) {
  return try_write_file_atomically(file, std::vector<std::span<const std::byte>>{bytes});
}

Status try_write_file_atomically(const std::filesystem::path& file,
                                 const std::vector<std::span<const std::byte>>& parts) {
  static std::atomic<unsigned> counter{0};
  std::error_code error;
  std::filesystem::path target;
  NNQ_TRY(replaced_file(file, target));
  const std::filesystem::path folder = target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
  std::filesystem::create_directories(folder, error);
  if (error) return Status::invalid(text(folder.string(), ": cannot create the directory: ", error.message()));
  const std::filesystem::path aside =
      folder / text(".", target.filename().string(), ".", static_cast<long>(::getpid()), ".", counter++);
  {
    Descriptor out(::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (out.get() < 0) return failure(file, "cannot be written");
    Status status;
    for (std::size_t i = 0; i < parts.size() && status.ok(); ++i) status = write_all(out.get(), parts[i], file);
    if (status.ok() && ::fsync(out.get()) != 0) status = failure(file, "cannot sync");
    if (status.ok() && out.close() != 0) status = failure(file, "cannot close");
    if (status.ok() && ::rename(aside.c_str(), target.c_str()) != 0) status = failure(file, "cannot rename into place");
    if (!status.ok()) {
      ::unlink(aside.c_str());
      return status;
    }
  }
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());  // best effort: some file systems refuse
  return {};
}

Status try_read_file(const std::filesystem::path& file, std::size_t max_bytes, std::vector<std::byte>& bytes) {
  const Descriptor in(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (in.get() < 0) return failure(file, "cannot be opened");
  struct stat info {};
  if (::fstat(in.get(), &info) != 0) return failure(file, "cannot be read");
  if (!S_ISREG(info.st_mode)) return Status::invalid(text(file.string(), ": is not a regular file"));
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size > max_bytes)
    return Status::bad_file(text(file.string(), ": ", size, " bytes, more than the ", max_bytes, " allowed"));
  bytes.resize(size);
  std::size_t have = 0;
  while (have < size) {
    const ssize_t n = ::read(in.get(), bytes.data() + have, size - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failure(file, "cannot be read");
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  bytes.resize(have);
  return {};
}

}  // namespace nnq
