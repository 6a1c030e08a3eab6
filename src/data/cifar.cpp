#include <fmt/format.h>

#include <cstring>

#include "core/atomic_file.h"
#include "core/random.h"
#include "data/registry.h"
#include "nnq/error.h"

namespace nnq::data {

Samples samples_from_cifar(const std::vector<std::filesystem::path>& files, int label_bytes,
                           std::vector<std::string> classes) {
  constexpr std::size_t pixels = 3 * 32 * 32;
  const std::size_t record = static_cast<std::size_t>(label_bytes) + pixels;
  std::vector<std::vector<std::byte>> contents;
  std::size_t records = 0;
  std::uint64_t hash = 1;
  for (const std::filesystem::path& file : files) {
    std::vector<std::byte> bytes;
    throw_if_error(try_read_file(file, std::size_t{1} << 30, bytes));
    if (bytes.empty() || bytes.size() % record != 0) {
      throw Error(fmt::format("{} bytes are not a whole number of {}-byte records", bytes.size(), record),
                  fmt::format("{}: offset {}", file.string(), bytes.size() / record * record),
                  "the file is truncated or not CIFAR binary");
    }
    records += bytes.size() / record;
    hash = hash64({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, hash);
    contents.push_back(std::move(bytes));
  }
  Samples samples;
  samples.images = Tensor(DType::u8, {static_cast<std::int64_t>(records), 3, 32, 32});
  samples.labels = Tensor(DType::i64, {static_cast<std::int64_t>(records)});
  auto* images = samples.images.mutable_as<std::uint8_t>();
  auto* labels = samples.labels.mutable_as<std::int64_t>();
  std::size_t i = 0;
  for (std::size_t f = 0; f < files.size(); ++f) {
    for (std::size_t offset = 0; offset < contents[f].size(); offset += record, ++i) {
      const std::size_t at = offset + static_cast<std::size_t>(label_bytes) - 1;
      labels[i] = static_cast<std::int64_t>(contents[f][at]);
      if (labels[i] >= static_cast<std::int64_t>(classes.size())) {
        throw Error(fmt::format("label {} is outside 0..{}", labels[i], classes.size() - 1),
                    fmt::format("{}: offset {}", files[f].string(), at));
      }
      std::memcpy(images + i * pixels, contents[f].data() + offset + static_cast<std::size_t>(label_bytes), pixels);
    }
  }
  samples.classes = std::move(classes);
  samples.hash = hash;
  samples.source = files.empty() ? "" : files[0].parent_path().string();
  return samples;
}

}  // namespace nnq::data
