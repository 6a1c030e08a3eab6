#include "train/checkpoint.h"

#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/atomic_file.h"
#include "core/random.h"
#include "nnq/error.h"

namespace nnq::train {
namespace {

static_assert(std::endian::native == std::endian::little, "checkpoints are written as memory has them");

using nlohmann::json;

constexpr std::array<char, 8> kMagic{'N', 'N', 'Q', 'T', 'R', 'A', 'I', 'N'};
constexpr std::uint32_t kVersion = 1;
constexpr const char* kHint = "train again without --resume to start over";

struct Header {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion, reserved = 0;
  std::uint64_t length = 0, hash = 0;
};
static_assert(sizeof(Header) == 32);

std::uint64_t hash_of(std::span<const std::byte> bytes) {
  return hash64(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

DType dtype_named(const std::string& name) {
  for (int i = 0; i < static_cast<int>(DType::string); ++i)
    if (name == name_of(static_cast<DType>(i))) return static_cast<DType>(i);
  throw Error("tensors of type '" + name + "' are not known");
}

json to_json(const EpochReport& r) {
  return json::array({r.epoch, r.loss, r.train_accuracy, r.validation, r.learning_rate, r.seconds, r.quantizers});
}

EpochReport report_from(const json& j) {
  EpochReport r;
  r.epoch = j.at(0).get<std::int64_t>();
  r.loss = j.at(1).get<double>();
  r.train_accuracy = j.at(2).get<double>();
  r.validation = j.at(3).get<double>();
  r.learning_rate = j.at(4).get<double>();
  r.seconds = j.at(5).get<double>();
  if (j.size() > 6) r.quantizers = j.at(6).get<std::map<std::string, double>>();
  return r;
}

json head_of(const Checkpoint& c) {
  json head{{"run", c.run},
            {"epoch", c.epoch},
            {"batch", c.batch},
            {"step", c.step},
            {"loss", c.loss_sum},
            {"seconds", c.seconds},
            {"correct", c.correct},
            {"seen", c.seen},
            {"best_validation", c.best_validation},
            {"history", json::array()},
            {"tensors", json::array()}};
  for (const EpochReport& report : c.history) head["history"].push_back(to_json(report));
  for (const auto& [name, tensor] : c.tensors)
    head["tensors"].push_back(json::array({name, name_of(tensor.dtype()), tensor.shape()}));
  return head;
}

/// What is left to read of a body.
struct Reader {
  std::span<const std::byte> rest;

  std::span<const std::byte> take(std::uint64_t bytes, const std::string& what) {
    NNQ_CHECK(bytes <= rest.size(), "ends within " + what);
    const auto taken = rest.first(static_cast<std::size_t>(bytes));
    rest = rest.subspan(static_cast<std::size_t>(bytes));
    return taken;
  }
};

Tensor read_tensor(const json& entry, Reader& reader) {
  const auto name = entry.at(0).get<std::string>();
  const DType type = dtype_named(entry.at(1).get<std::string>());
  auto shape = entry.at(2).get<Shape>();
  const auto count = checked_count(shape);
  const auto room = static_cast<std::uint64_t>(reader.rest.size());
  NNQ_CHECK(count.has_value() && static_cast<std::uint64_t>(*count) <= room / size_of(type),
            "tensor '" + name + "' is larger than what is left");
  const auto bytes = reader.take(static_cast<std::uint64_t>(*count) * size_of(type), "tensor '" + name + "'");
  Tensor tensor(type, std::move(shape));
  if (!bytes.empty()) std::memcpy(tensor.mutable_data(), bytes.data(), bytes.size());
  return tensor;
}

Checkpoint read_body(std::span<const std::byte> body) {
  Reader reader{body};
  std::uint64_t length = 0;
  std::memcpy(&length, reader.take(sizeof length, "its table").data(), sizeof length);
  const auto text = reader.take(length, "its table");
  const json head =
      json::parse(reinterpret_cast<const char*>(text.data()), reinterpret_cast<const char*>(text.data()) + text.size());
  Checkpoint c;
  c.run = head.at("run").get<std::map<std::string, std::string>>();
  c.epoch = head.at("epoch").get<std::int64_t>();
  c.batch = head.at("batch").get<std::int64_t>();
  c.step = head.at("step").get<std::int64_t>();
  c.loss_sum = head.at("loss").get<double>();
  c.seconds = head.at("seconds").get<double>();
  c.correct = head.at("correct").get<std::int64_t>();
  c.seen = head.at("seen").get<std::int64_t>();
  c.best_validation = head.at("best_validation").get<double>();
  for (const json& report : head.at("history")) c.history.push_back(report_from(report));
  for (const json& entry : head.at("tensors")) c.tensors[entry.at(0).get<std::string>()] = read_tensor(entry, reader);
  NNQ_CHECK(reader.rest.empty(), "has bytes behind its last tensor");
  NNQ_CHECK(c.epoch >= 0 && c.batch >= 0 && c.step >= 0 && c.history.size() == static_cast<std::size_t>(c.epoch),
            "its counters contradict each other");
  return c;
}

}  // namespace

std::vector<std::byte> write_checkpoint(const Checkpoint& checkpoint) {
  const std::string text = head_of(checkpoint).dump();
  std::size_t size = sizeof(Header) + sizeof(std::uint64_t) + text.size();
  for (const auto& [name, tensor] : checkpoint.tensors) {
    NNQ_CHECK(tensor.defined() && tensor.dtype() != DType::string, "cannot be saved", "tensor '" + name + "'");
    size += tensor.bytes();
  }
  std::vector<std::byte> bytes(size);
  std::size_t at = sizeof(Header);
  const auto put = [&](const void* data, std::size_t count) {
    if (count > 0) std::memcpy(bytes.data() + at, data, count);
    at += count;
  };
  const std::uint64_t length = text.size();
  put(&length, sizeof length);
  put(text.data(), text.size());
  for (const auto& [name, tensor] : checkpoint.tensors) put(tensor.data(), tensor.bytes());
  const auto body = std::span<const std::byte>(bytes).subspan(sizeof(Header));
  Header header;
  header.length = body.size();
  header.hash = hash_of(body);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

Checkpoint read_checkpoint(std::span<const std::byte> bytes, const std::string& name) {
  Header header;
  NNQ_CHECK(bytes.size() >= sizeof header, "is no checkpoint: too short", name, kHint);
  std::memcpy(&header, bytes.data(), sizeof header);
  NNQ_CHECK(header.magic == kMagic, "is no checkpoint of nnq", name, kHint);
  NNQ_CHECK(header.version == kVersion && header.reserved == 0,
            "is a checkpoint of version " + std::to_string(header.version) + "; this nnq reads version " +
                std::to_string(kVersion),
            name, kHint);
  const auto body = bytes.subspan(sizeof header);
  NNQ_CHECK(
      header.length == body.size(),
      "is damaged: " + std::to_string(body.size()) + " bytes where " + std::to_string(header.length) + " should be",
      name, kHint);
  NNQ_CHECK(header.hash == hash_of(body), "is damaged: its checksum does not match", name, kHint);
  try {
    return read_body(body);
  } catch (const Error& error) {
    throw Error("is no usable checkpoint: " + error.message(), name, kHint);
  } catch (const json::exception& error) {
    throw Error(std::string("is no usable checkpoint: ") + error.what(), name, kHint);
  }
}

std::filesystem::path checkpoint_file(const std::filesystem::path& folder) { return folder / "checkpoint.nnqtrain"; }

void save_checkpoint(const Checkpoint& checkpoint, const std::filesystem::path& folder) {
  write_file_atomically(checkpoint_file(folder), write_checkpoint(checkpoint));
}

std::optional<Checkpoint> load_checkpoint(const std::filesystem::path& folder) {
  const std::filesystem::path file = checkpoint_file(folder);
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return std::nullopt;
  std::vector<std::byte> bytes;
  throw_if_error(try_read_file(file, std::size_t{1} << 40, bytes));
  return read_checkpoint(bytes, file.string());
}

}  // namespace nnq::train
