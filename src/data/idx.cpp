#include <fmt/format.h>

#include <cstring>

#include "core/random.h"
#include "data/registry.h"
#include "nnq/error.h"

namespace nnq::data {
namespace {

constexpr std::size_t max_idx_bytes = std::size_t{1} << 31;

std::uint64_t hash_bytes(std::span<const std::byte> bytes, std::uint64_t seed) {
  return hash64({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, seed);
}

}  // namespace

Tensor parse_idx(std::span<const std::byte> bytes, const std::string& name) {
  const auto fail = [&](std::size_t offset, const std::string& what) {
    throw Error(what, fmt::format("{}: offset {}", name, offset), "not a valid IDX file");
  };
  const auto at = [&](std::size_t i) { return static_cast<std::uint32_t>(bytes[i]); };
  if (bytes.size() < 4) fail(0, fmt::format("expected a 4-byte magic number, the file has {} bytes", bytes.size()));
  if (at(0) != 0 || at(1) != 0) fail(0, fmt::format("expected magic 0x0000, got 0x{:02x}{:02x}", at(0), at(1)));
  if (at(2) != 0x08) fail(2, fmt::format("expected element type 0x08 (unsigned byte), got 0x{:02x}", at(2)));
  const std::size_t rank = at(3);
  if (rank < 1 || rank > 4) fail(3, fmt::format("expected 1 to 4 dimensions, got {}", rank));
  if (bytes.size() < 4 + 4 * rank) fail(bytes.size(), "the file ends inside its header");
  Shape shape;
  for (std::size_t d = 0; d < rank; ++d) {
    const std::size_t o = 4 + 4 * d;
    shape.push_back(static_cast<std::int64_t>((at(o) << 24) | (at(o + 1) << 16) | (at(o + 2) << 8) | at(o + 3)));
  }
  const std::span<const std::byte> data = bytes.subspan(4 + 4 * rank);
  const auto count = checked_count(shape);
  if (!count || static_cast<std::size_t>(*count) != data.size()) {
    fail(4 + 4 * rank, fmt::format("shape {} needs {} bytes, the file has {}", to_string(shape),
                                   count ? std::to_string(*count) : "too many", data.size()));
  }
  Tensor tensor(DType::u8, shape);
  if (!data.empty()) std::memcpy(tensor.mutable_data(), data.data(), data.size());
  return tensor;
}

Samples samples_from_idx(const std::filesystem::path& image_file, const std::filesystem::path& label_file,
                         std::vector<std::string> classes) {
  const std::vector<std::byte> image_bytes = read_maybe_gzip(image_file, max_idx_bytes),
                               label_bytes = read_maybe_gzip(label_file, max_idx_bytes);
  const Tensor images = parse_idx(image_bytes, image_file.string()),
               labels = parse_idx(label_bytes, label_file.string());
  if (images.rank() != 3)
    throw Error("expected images [count, height, width], got " + to_string(images.shape()), image_file.string());
  if (labels.rank() != 1) throw Error("expected labels [count], got " + to_string(labels.shape()), label_file.string());
  if (labels.shape()[0] != images.shape()[0]) {
    throw Error(fmt::format("{} labels for {} images", labels.shape()[0], images.shape()[0]), label_file.string());
  }
  Samples samples;
  samples.images = images.reshaped({images.shape()[0], 1, images.shape()[1], images.shape()[2]});
  samples.labels = labels.cast(DType::i64);
  const auto values = samples.labels.values<std::int64_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] >= static_cast<std::int64_t>(classes.size())) {
      throw Error(fmt::format("label {} is outside 0..{}", values[i], classes.size() - 1),
                  fmt::format("{}: offset {}", label_file.string(), 8 + i));
    }
  }
  samples.classes = std::move(classes);
  samples.hash = hash_bytes(label_bytes, hash_bytes(image_bytes, 1));
  samples.source = image_file.parent_path().string();
  return samples;
}

}  // namespace nnq::data
