#include "data/registry.h"
#include "support.h"

namespace nnq {
namespace {

using test::holds;
using test::refusal;

const std::vector<std::string> ten = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

std::string record(const std::vector<int>& labels, int pixel) {
  std::string bytes;
  for (const int label : labels) bytes += static_cast<char>(label);
  for (int i = 0; i < 3072; ++i) bytes += static_cast<char>(pixel + i);
  return bytes;
}

using Cifar = test::FolderTest;

TEST_F(Cifar, ReadsAnyWholeNumberOfRecordsFileAfterFile) {
  const auto a = write("a.bin", record({3}, 0) + record({0}, 7)), b = write("b.bin", record({9}, 100));
  const Samples samples = data::samples_from_cifar({a, b}, 1, ten);
  EXPECT_EQ(samples.images.shape(), (Shape{3, 3, 32, 32}));
  EXPECT_EQ(samples.labels.to_int64(), (std::vector<std::int64_t>{3, 0, 9}));
  const auto values = samples.images.values<std::uint8_t>();
  for (std::size_t i = 0; i < 3072; ++i) {
    ASSERT_EQ(values[i], static_cast<std::uint8_t>(i));
    ASSERT_EQ(values[3072 + i], static_cast<std::uint8_t>(7 + i));
    ASSERT_EQ(values[2 * 3072 + i], static_cast<std::uint8_t>(100 + i));
  }
  EXPECT_EQ(samples.source, folder.string());
  EXPECT_NE(samples.hash, data::samples_from_cifar({b, a}, 1, ten).hash);
}

TEST_F(Cifar, OfTwoLabelsTheFineOneCounts) {
  const auto file = write("train.bin", record({15, 4}, 0) + record({2, 9}, 1));
  const Samples samples = data::samples_from_cifar({file}, 2, ten);
  EXPECT_EQ(samples.labels.to_int64(), (std::vector<std::int64_t>{4, 9}));
  EXPECT_EQ(samples.images.as<std::uint8_t>()[3072], 1);
}

TEST_F(Cifar, TrailingBytesAndTruncationNameFileAndOffset) {
  const std::string good = record({1}, 0);
  for (const std::size_t size : {std::size_t{1}, std::size_t{3072}, std::size_t{3074}}) {
    const auto file = write("x.bin", (good + good).substr(0, size));
    const std::string offset = size < 3073 ? ": offset 0: " : ": offset 3073: ";
    EXPECT_TRUE(holds(refusal([&] { (void)data::samples_from_cifar({file}, 1, ten); }),
                      file.string() + offset + std::to_string(size) + " bytes are not a whole number of 3073"));
  }
  EXPECT_TRUE(holds(refusal([&] { (void)data::samples_from_cifar({write("e", "")}, 1, ten); }), "0 bytes are not"));
  EXPECT_TRUE(holds(refusal([&] { (void)data::samples_from_cifar({folder / "none"}, 1, ten); }), "none"));
}

TEST_F(Cifar, LabelOutOfRangeNamesItsOffset) {
  const auto file = write("x.bin", record({9}, 0) + record({10}, 0));
  EXPECT_TRUE(holds(refusal([&] { (void)data::samples_from_cifar({file}, 1, ten); }),
                    file.string() + ": offset 3073: label 10 is outside 0..9"));
  const auto fine = write("y.bin", record({0, 200}, 0));
  EXPECT_TRUE(holds(refusal([&] { (void)data::samples_from_cifar({fine}, 2, ten); }), "offset 1: label 200"));
}

}  // namespace
}  // namespace nnq
