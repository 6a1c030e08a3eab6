#include "train/checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "core/random.h"
#include "nnq/error.h"

namespace nnq::train {
namespace {

Checkpoint example() {
  Checkpoint c;
  c.run = {{"batch", "8"}, {"seed", "1"}};
  c.epoch = 2;
  c.batch = 5;
  c.step = 21;
  c.loss_sum = 1.0 / 3;
  c.seconds = 0.1;
  c.correct = 17;
  c.seen = 40;
  c.best_validation = 200.0 / 3;
  c.history = {{1, 0.7, 50, 60, 0.1, 3, {}}, {2, 0.1 + 0.2, 51, 200.0 / 3, 0.05, 3.5, {}}};
  c.tensors["model/w"] = Tensor::of<float>({2, 3}, {1, -2, 3.5F, 1e-40F, std::nanf(""), 6});
  c.tensors["model/scalar"] = Tensor::scalar<float>(0.5F);
  c.tensors["model/count"] = Tensor::of<std::int64_t>({1}, {1LL << 60});
  c.tensors["optimizer/mean/w"] = Tensor(DType::f32, {0, 4});
  return c;
}

void expect_equal(const Checkpoint& a, const Checkpoint& b) {
  EXPECT_EQ(a.run, b.run);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.batch, b.batch);
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.loss_sum, b.loss_sum);
  EXPECT_EQ(a.seconds, b.seconds);
  EXPECT_EQ(a.correct, b.correct);
  EXPECT_EQ(a.seen, b.seen);
  EXPECT_EQ(a.best_validation, b.best_validation);
  EXPECT_TRUE(a.tensors == b.tensors);
  ASSERT_EQ(a.history.size(), b.history.size());
  for (std::size_t i = 0; i < a.history.size(); ++i) {
    EXPECT_EQ(a.history[i].epoch, b.history[i].epoch);
    EXPECT_EQ(a.history[i].loss, b.history[i].loss);
    EXPECT_EQ(a.history[i].train_accuracy, b.history[i].train_accuracy);
    EXPECT_EQ(a.history[i].validation, b.history[i].validation);
    EXPECT_EQ(a.history[i].learning_rate, b.history[i].learning_rate);
    EXPECT_EQ(a.history[i].seconds, b.history[i].seconds);
  }
}

/// Reads must end in a checkpoint or in one nnq::Error that names the file.
void expect_refused(std::span<const std::byte> bytes, const std::string& what) {
  try {
    read_checkpoint(bytes, "file");
    ADD_FAILURE() << what << " was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), "file") << what;
    EXPECT_FALSE(error.fault()) << what;
  }
}

TEST(Checkpoint, KeepsEveryBit) { expect_equal(read_checkpoint(write_checkpoint(example()), "file"), example()); }

TEST(Checkpoint, TruncationAnywhereIsAnError) {
  const auto bytes = write_checkpoint(example());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    expect_refused(std::span(bytes).first(size), "a file cut to " + std::to_string(size));
  auto longer = bytes;
  longer.push_back(std::byte{0});
  expect_refused(longer, "a longer file");
}

TEST(Checkpoint, AFlippedBitAnywhereIsAnError) {
  auto bytes = write_checkpoint(example());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto bit = std::byte{static_cast<unsigned char>(1u << (i % 8))};
    bytes[i] ^= bit;
    expect_refused(bytes, "a bit flipped in byte " + std::to_string(i));
    bytes[i] ^= bit;
  }
}

/// A file of a given JSON table with a right checksum: what a hostile hand could write.
std::vector<std::byte> forge(const std::string& json, std::uint64_t claimed_length, std::size_t memory) {
  std::string body(8, '\0');
  std::memcpy(body.data(), &claimed_length, 8);
  body += json + std::string(memory, 'x');
  std::string file("NNQTRAIN\1\0\0\0\0\0\0\0", 16);
  const std::uint64_t numbers[2] = {body.size(), hash64(body)};
  file.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
  file += body;
  std::vector<std::byte> bytes(file.size());
  std::memcpy(bytes.data(), file.data(), file.size());
  return bytes;
}

std::string table(const std::string& tensors, const std::string& epoch = "0") {
  return R"({"run":{},"epoch":)" + epoch +
         R"(,"batch":0,"step":0,"loss":0,"seconds":0,"correct":0,"seen":0,"best_validation":-1,"history":[],"tensors":)" +
         tensors + "}";
}

TEST(Checkpoint, HostileTablesAreErrors) {
  const auto file = [](const std::string& json, std::size_t memory = 16) { return forge(json, json.size(), memory); };
  EXPECT_NO_THROW(read_checkpoint(file(table(R"([["model/a","float32",[4]]])")), "file"));
  expect_refused(file(table(R"([["model/a","float32",[5]]])")), "more elements than bytes");
  expect_refused(file(table(R"([["model/a","float32",[4611686018427387904, 4]]])")), "an overflowing shape");
  expect_refused(file(table(R"([["model/a","float32",[1099511627776]]])")), "a huge tensor");
  expect_refused(file(table(R"([["model/a","float32",[-4]]])")), "a negative dimension");
  expect_refused(file(table(R"([["model/a","float32",[3]]])")), "bytes left over");
  expect_refused(file(table(R"([["model/a","string",[1]]])")), "strings");
  expect_refused(file(table(R"([["model/a","float33",[1]]])")), "an unknown type");
  expect_refused(file(table(R"([["model/a"]])")), "half an entry");
  expect_refused(file(table(R"([7])")), "a number for an entry");
  expect_refused(file(table("[]", "3"), 0), "epochs without history");
  expect_refused(file(table("[]", "-1"), 0), "negative epochs");
  expect_refused(file(table("[]", "\"many\""), 0), "a word for a number");
  expect_refused(file("{}", 0), "an empty table");
  expect_refused(file("[1", 0), "broken JSON");
  expect_refused(file(std::string(100000, '[')), "deep JSON");
  expect_refused(forge("{}", ~0ull, 0), "a table longer than the file");
}

TEST(Checkpoint, FolderHoldsNoneOrOne) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("nnq_checkpoint_test_" + std::to_string(::getpid())) / "deep";
  EXPECT_FALSE(load_checkpoint(folder).has_value());
  save_checkpoint(example(), folder);
  Checkpoint second = example();
  second.step = 22;
  save_checkpoint(second, folder);
  const auto loaded = load_checkpoint(folder);
  ASSERT_TRUE(loaded.has_value());
  expect_equal(*loaded, second);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::resize_file(checkpoint_file(folder), 100);
  EXPECT_THROW(load_checkpoint(folder), Error);
  std::filesystem::remove_all(folder.parent_path());
}

}  // namespace
}  // namespace nnq::train
