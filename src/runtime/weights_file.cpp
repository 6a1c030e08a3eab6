#include "runtime/weights_file.h"

#include <algorithm>
#include <cstring>

#include "core/atomic_file.h"
#include "core/checksum.h"
#include "nnq/version.h"

namespace nnq {
namespace {

constexpr std::size_t line = 64;

struct Head {
  char magic[8];
  std::uint32_t format, entries;
  std::uint64_t content, total_bytes, directory_bytes;
  std::uint64_t checksum;  // of the head with 0 here, then of the directory
  char version[16];        // of nnq
};
static_assert(sizeof(Head) == line);
constexpr char magic[8] = {'N', 'N', 'Q', 'p', 'a', 'c', 'k', '\n'};

struct EntryHead {
  std::uint64_t key_bytes, number_bytes, arrays;
};
struct ArrayPlace {
  std::uint64_t offset, bytes, checksum;
};

std::size_t on_line(std::size_t offset) { return (offset + line - 1) / line * line; }

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span<const T, 1>(&value, 1));
}

std::uint64_t checksum_of(Head head, std::span<const std::byte> directory) {
  head.checksum = 0;
  const std::uint64_t both[2] = {checksum64(bytes_of(head)), checksum64(directory)};
  return checksum64(std::as_bytes(std::span(both)));
}

Head head_of(std::uint64_t content, std::size_t entries) {
  Head head = {};
  std::memcpy(head.magic, magic, sizeof(magic));
  head.format = weights_format;
  head.entries = static_cast<std::uint32_t>(entries);
  head.content = content;
  std::strncpy(head.version, version(), sizeof(head.version) - 1);
  return head;
}

/// Reads a directory from its front to its end.
class Directory {
 public:
  explicit Directory(std::span<const std::byte> bytes) : left_(bytes) {}
  bool take(std::size_t bytes, std::span<const std::byte>& taken) {
    if (bytes > left_.size()) return false;
    taken = left_.first(bytes);
    left_ = left_.subspan(bytes);
    return true;
  }
  template <class T>
  bool take(T& value) {
    std::span<const std::byte> bytes;
    if (!take(sizeof(T), bytes)) return false;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return true;
  }
  bool empty() const { return left_.empty(); }

 private:
  std::span<const std::byte> left_;
};

bool read_entry(Directory& directory, std::span<const std::byte> file, WeightsEntries& entries) {
  EntryHead head;
  std::span<const std::byte> key, numbers;
  if (!directory.take(head) || !directory.take(head.key_bytes, key) || !directory.take(head.number_bytes, numbers))
    return false;
  WeightsEntry& entry = entries[std::string(reinterpret_cast<const char*>(key.data()), key.size())];
  entry.parts.numbers.assign(numbers.begin(), numbers.end());
  for (std::uint64_t i = 0; i < head.arrays; ++i) {
    ArrayPlace place;
    if (!directory.take(place) || place.offset % line != 0 || place.offset > file.size() ||
        place.bytes > file.size() - place.offset)
      return false;
    entry.parts.arrays.push_back(file.subspan(place.offset, place.bytes));
    entry.checksums.push_back(place.checksum);
  }
  return true;
}

void append(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

/// All entries, and where their arrays go: behind each other from `at` on, which is left at the end of the file.
std::vector<std::byte> directory_of(const WeightsEntries& entries, std::size_t& at) {
  std::vector<std::byte> directory;
  for (const auto& [key, entry] : entries) {
    append(directory, bytes_of(EntryHead{key.size(), entry.parts.numbers.size(), entry.parts.arrays.size()}));
    append(directory, std::as_bytes(std::span<const char>(key.data(), key.size())));
    append(directory, entry.parts.numbers);
    for (std::size_t i = 0; i < entry.parts.arrays.size(); ++i) {
      at = on_line(at);
      append(directory, bytes_of(ArrayPlace{at, entry.parts.arrays[i].size(), entry.checksums[i]}));
      at += entry.parts.arrays[i].size();
    }
  }
  return directory;
}

}  // namespace

bool WeightsEntry::intact() const {
  for (std::size_t i = 0; i < checksums.size(); ++i) {
    if (checksum64(parts.arrays[i]) != checksums[i]) return false;
  }
  return true;
}

WeightsEntry weights_entry(PackedParts parts) {
  WeightsEntry entry;
  entry.parts = std::move(parts);
  for (const std::span<const std::byte> a : entry.parts.arrays) entry.checksums.push_back(checksum64(a));
  return entry;
}

Status read_weights(std::span<const std::byte> bytes, std::uint64_t content, WeightsEntries& entries) {
  Head head;
  if (bytes.size() < sizeof(head)) return Status::bad_file("it is cut short");
  std::memcpy(&head, bytes.data(), sizeof(head));
  const Head expected = head_of(content, head.entries);
  if (std::memcmp(head.magic, magic, sizeof(magic)) != 0) return Status::bad_file("it holds no weights");
  if (head.format != weights_format || std::memcmp(head.version, expected.version, sizeof(head.version)) != 0)
    return Status::bad_file("it is of another version of nnq");
  if (head.total_bytes != bytes.size() || head.directory_bytes > bytes.size() - sizeof(head))
    return Status::bad_file("it is cut short, or longer than it says");
  const std::span<const std::byte> all = bytes.subspan(sizeof(head), head.directory_bytes);
  if (checksum_of(head, all) != head.checksum) return Status::bad_file("its directory is damaged");
  if (head.content != content) return Status::bad_file("it is of another model");
  Directory directory(all);
  for (std::uint32_t i = 0; i < head.entries; ++i) {
    if (!read_entry(directory, bytes, entries)) return Status::bad_file("its directory makes no sense");
  }
  return directory.empty() ? Status() : Status::bad_file("its directory makes no sense");
}

Status write_weights(const std::string& file, std::uint64_t content, const WeightsEntries& entries) {
  // The directory's size does not depend on where arrays lie.
  std::size_t end = 0;
  const std::size_t arrays = on_line(sizeof(Head) + directory_of(entries, end).size());
  end = arrays;
  const std::vector<std::byte> directory = directory_of(entries, end);
  Head head = head_of(content, entries.size());
  head.total_bytes = end;
  head.directory_bytes = directory.size();
  head.checksum = checksum_of(head, directory);
  static constexpr std::byte gap[line] = {};
  std::vector<std::span<const std::byte>> parts;
  std::size_t at = 0;
  const auto put = [&](std::span<const std::byte> bytes) {
    parts.push_back(bytes);
    at += bytes.size();
  };
  put(bytes_of(head));
  put(directory);
  for (const auto& [key, entry] : entries) {
    for (const std::span<const std::byte> a : entry.parts.arrays) {
      put(std::span(gap).first(on_line(at) - at));
      put(a);
    }
  }
  return try_write_file_atomically(file, parts);
}

}  // namespace nnq
