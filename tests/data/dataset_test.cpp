#include <algorithm>

#include "support.h"

namespace nnq {
namespace {

namespace fs = std::filesystem;
using test::Environment;
using test::holds;
using test::refusal;

std::string cifar_record(int label) { return static_cast<char>(label) + std::string(3072, 'x'); }

using DatasetSearch = test::FolderTest;

TEST_F(DatasetSearch, PathIsNnqDataThenHomeThenSystem) {
  const Environment data("NNQ_DATA", "/first:/second::"), home("HOME", "/home/someone");
  EXPECT_EQ(dataset_search_path(),
            (std::vector<fs::path>{"/first", "/second", "/home/someone/.cache/nnq/data", "/usr/share/datasets"}));
  const Environment none("NNQ_DATA", nullptr);
  EXPECT_EQ(dataset_search_path().size(), 2u);
}

TEST_F(DatasetSearch, TheFirstDirectoryThatHasItWins) {
  write("a/nothing", "");
  write("b/cifar10/test_batch.bin", cifar_record(1));
  write("c/cifar-10-batches-bin/test_batch.bin", cifar_record(2) + cifar_record(3));
  const std::string path = (folder / "a").string() + ":" + (folder / "b").string() + ":" + (folder / "c").string();
  const Environment data("NNQ_DATA", path.c_str()), home("HOME", "/nowhere");
  EXPECT_EQ(find_dataset("cifar10"), folder / "b/cifar10");
  const Samples samples = load_dataset("cifar10", Split::test);
  EXPECT_EQ(samples.images.shape()[0], 1);
  EXPECT_EQ(samples.labels.to_int64(), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(samples.classes[1], "automobile");
  fs::remove_all(folder / "b");
  EXPECT_EQ(load_dataset("cifar10", Split::test).images.shape()[0], 2);
}

TEST_F(DatasetSearch, AnUnknownNameNamesTheNearest) {
  EXPECT_TRUE(holds(refusal([] { (void)load_dataset("fashion-mnist", Split::train); }),
                    "there is no data set 'fashion-mnist' (did you mean 'fashion_mnist'?"));
  EXPECT_TRUE(holds(refusal([] { (void)load_dataset("imagenet_validation_set", Split::train); }), "known: "));
  EXPECT_TRUE(find_dataset("imagenet").empty());
}

TEST_F(DatasetSearch, ASetThatIsNotThereSaysWhereItWasLookedFor) {
  const Environment data("NNQ_DATA", folder.c_str()), home("HOME", "/nowhere");
  const std::string said = refusal([] { (void)load_dataset("cifar100", Split::train); });
  EXPECT_TRUE(holds(said, "data set 'cifar100' was not found"));
  EXPECT_TRUE(holds(said, (folder / "cifar-100-binary").string()));
  EXPECT_TRUE(holds(said, "NNQ_DATA"));
}

TEST_F(DatasetSearch, AnIncompleteSetNamesTheMissingFile) {
  write("mnist/train-images-idx3-ubyte", std::string("\0\0\10\3\0\0\0\0\0\0\0\0\0\0\0\0", 16));
  const Environment data("NNQ_DATA", folder.c_str());
  EXPECT_TRUE(holds(refusal([] { (void)load_dataset("mnist", Split::train); }), "mnist/train-labels-idx1-ubyte"));
  EXPECT_TRUE(holds(refusal([] { (void)load_dataset("mnist", Split::test); }), "mnist/t10k-"));
}

TEST(Datasets, AreListedOnceWithADescription) {
  std::vector<std::string> names;
  for (const DatasetInfo& info : all_datasets()) {
    names.push_back(info.name);
    EXPECT_FALSE(info.description.empty()) << info.name;
  }
  for (const char* name : {"mnist", "fashion_mnist", "cifar10", "cifar10_40k", "cifar100"})
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
}

TEST(SplitOff, MovesSamplesWithTheirLabels) {
  Samples train = test::numbered(20, 1, 2, 2, 20);
  const Samples all = train;
  const Samples held = split_off(train, 6, 1);
  EXPECT_EQ(held.images.shape(), (Shape{6, 1, 2, 2}));
  EXPECT_EQ(train.images.shape(), (Shape{14, 1, 2, 2}));
  EXPECT_EQ(held.classes, all.classes);
  std::vector<std::int64_t> seen;
  for (const Samples* part : {static_cast<const Samples*>(&held), static_cast<const Samples*>(&train)}) {
    for (std::int64_t i = 0; i < part->images.shape()[0]; ++i) {
      const std::int64_t label = part->labels.as<std::int64_t>()[i];  // = its number in `all`
      seen.push_back(label);
      EXPECT_TRUE(std::equal(part->images.as<std::uint8_t>() + 4 * i, part->images.as<std::uint8_t>() + 4 * i + 4,
                             all.images.as<std::uint8_t>() + 4 * label));
    }
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, all.labels.to_int64());
}

TEST(SplitOff, IsAFunctionOfTheSeed) {
  Samples a = test::numbered(50, 1, 1, 1, 50), b = a, c = a;
  const Samples from_a = split_off(a, 10, 7), from_b = split_off(b, 10, 7), from_c = split_off(c, 10, 8);
  EXPECT_EQ(from_a.labels, from_b.labels);
  EXPECT_FALSE(from_a.labels == from_c.labels);
}

TEST(SplitOff, NoneIsAllowedAllIsNot) {
  Samples train = test::numbered(5, 1, 1, 1);
  EXPECT_EQ(split_off(train, 0, 1).images.shape()[0], 0);
  EXPECT_EQ(train.images.shape()[0], 5);
  EXPECT_TRUE(holds(refusal([&] { (void)split_off(train, 5, 1); }), "cannot hold out 5 of 5"));
  EXPECT_TRUE(holds(refusal([&] { (void)split_off(train, -1, 1); }), "cannot hold out -1 of 5"));
}

// The real files, when they are on this machine.
TEST(RealData, FashionMnistHasItsCountsAndPixels) {
  if (find_dataset("fashion_mnist").empty()) GTEST_SKIP() << "fashion_mnist is not installed";
  for (const Split split : {Split::train, Split::test}) {
    const Samples samples = load_dataset("fashion_mnist", split);
    const std::int64_t count = split == Split::test ? 10000 : 60000;
    ASSERT_EQ(samples.images.shape(), (Shape{count, 1, 28, 28}));
    std::vector<std::int64_t> of_class(10);
    for (const std::int64_t label : samples.labels.values<std::int64_t>()) ++of_class[static_cast<std::size_t>(label)];
    EXPECT_EQ(of_class, std::vector<std::int64_t>(10, count / 10));
    std::uint64_t sum = 0;
    for (const std::uint8_t v : samples.images.values<std::uint8_t>()) sum += v;
    EXPECT_EQ(sum, split == Split::test ? 573469082u : 3431114169u);
  }
}

TEST(RealData, Cifar10HasWholeBalancedBatches) {
  if (find_dataset("cifar10").empty()) GTEST_SKIP() << "cifar10 is not on the search path (set NNQ_DATA)";
  const Samples samples = load_dataset("cifar10", Split::train);
  ASSERT_EQ(samples.images.shape(), (Shape{50000, 3, 32, 32}));
  std::vector<std::int64_t> of_class(10);
  for (const std::int64_t label : samples.labels.values<std::int64_t>()) ++of_class[static_cast<std::size_t>(label)];
  EXPECT_EQ(of_class, std::vector<std::int64_t>(10, 5000));
  std::uint64_t sum = 0;
  for (const std::uint8_t v : samples.images.values<std::uint8_t>()) sum += v;
  EXPECT_EQ(sum, 18540682003u);
}

}  // namespace
}  // namespace nnq
