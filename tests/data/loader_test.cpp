#include <algorithm>
#include <numeric>
#include <set>
#include <thread>

#include "support.h"

namespace nnq {
namespace {

using test::holds;
using test::numbered;
using test::refusal;
using Batch = BatchLoader::Batch;

std::vector<Batch> rest(BatchLoader& loader) {
  std::vector<Batch> batches;
  Batch batch;
  while (loader.next(batch)) batches.push_back(batch);
  return batches;
}
std::vector<Batch> epoch(BatchLoader& loader, std::int64_t number, std::int64_t first = 0) {
  loader.start(number, first);
  return rest(loader);
}
void expect_same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].images, b[i].images) << "batch " << i;
    EXPECT_EQ(a[i].labels, b[i].labels) << "batch " << i;
  }
}
/// Samples of one pixel whose value is their number, so that a batch shows whom it holds.
Samples counted(std::int64_t count) {
  Samples samples = numbered(count, 1, 1, 1);
  samples.images = Tensor(DType::f32, {count, 1, 1, 1});
  std::iota(samples.images.mutable_as<float>(), samples.images.mutable_as<float>() + count, 0.0f);
  return samples;
}
BatchLoader::Options everything(std::uint64_t seed) {
  return {.batch = 8, .shuffle = true, .drop_last = false, .seed = seed, .augmentation = {.shift = 2, .flip = true}};
}

TEST(Loader, WithoutShufflingHasTheSamplesInOrder) {
  const Samples samples = counted(10);
  BatchLoader loader(samples, {}, {.batch = 4});
  EXPECT_EQ(loader.batches(), 3);
  const std::vector<Batch> batches = epoch(loader, 0);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[1].images.to_float(), (std::vector<float>{4, 5, 6, 7}));
  EXPECT_EQ(batches[1].labels.to_int64(), (std::vector<std::int64_t>{1, 2, 0, 1}));
  EXPECT_EQ(batches[2].images.shape(), (Shape{2, 1, 1, 1}));
  EXPECT_EQ(batches[2].labels.shape(), (Shape{2}));
}

TEST(Loader, DropLastLeavesOnlyFullBatches) {
  const Samples samples = counted(10);
  BatchLoader loader(samples, {}, {.batch = 4, .drop_last = true});
  EXPECT_EQ(loader.batches(), 2);
  EXPECT_EQ(epoch(loader, 0).size(), 2u);
  BatchLoader large(samples, {}, {.batch = 11, .drop_last = true});
  EXPECT_EQ(large.batches(), 0);
  EXPECT_TRUE(epoch(large, 0).empty());
}

TEST(Loader, ShufflingShowsEverySampleOnceAnEpochInAnotherOrder) {
  const Samples samples = counted(100);
  BatchLoader loader(samples, {}, {.batch = 7, .shuffle = true, .seed = 5});
  std::vector<std::vector<float>> orders;
  for (std::int64_t e = 0; e < 3; ++e) {
    std::vector<float> seen;
    for (const Batch& batch : epoch(loader, e)) {
      for (std::int64_t i = 0; i < batch.images.count(); ++i) {
        const float number = batch.images.as<float>()[i];
        EXPECT_EQ(batch.labels.as<std::int64_t>()[i], static_cast<std::int64_t>(number) % 3) << "label of its image";
        seen.push_back(number);
      }
    }
    EXPECT_EQ(std::set<float>(seen.begin(), seen.end()).size(), 100u);
    orders.push_back(seen);
  }
  EXPECT_NE(orders[0], orders[1]);
  EXPECT_NE(orders[1], orders[2]);
}

TEST(Loader, BatchesAreAFunctionOfSeedAndEpoch) {
  const Samples samples = numbered(30, 2, 5, 6);
  BatchLoader a(samples, {}, everything(3)), b(samples, {}, everything(3)), other(samples, {}, everything(4));
  const std::vector<Batch> first = epoch(a, 2);
  (void)epoch(b, 7);  // what came before does not matter
  expect_same(first, epoch(b, 2));
  EXPECT_FALSE(first[0].images == epoch(other, 2)[0].images);
  EXPECT_FALSE(first[0].images == epoch(a, 3)[0].images);
}

TEST(Loader, StartingInTheMiddleEqualsSkipping) {
  const Samples samples = numbered(50, 1, 4, 4);
  BatchLoader loader(samples, {}, everything(9));
  const std::vector<Batch> whole = epoch(loader, 1);
  for (std::int64_t skipped = 0; skipped <= 7; ++skipped)
    expect_same({whole.begin() + skipped, whole.end()}, epoch(loader, 1, skipped));
  EXPECT_TRUE(epoch(loader, 1, 100).empty());
  EXPECT_TRUE(holds(refusal([&] { loader.start(1, -1); }), "before its first batch"));
}

TEST(Loader, ASlowOrHastyReaderSeesTheSame) {
  const Samples samples = numbered(200, 1, 3, 3);
  BatchLoader slow(samples, {}, everything(2)), fast(samples, {}, everything(2));
  slow.start(0);
  std::vector<Batch> seen;
  Batch batch;
  while (slow.next(batch)) {
    seen.push_back(batch);
    std::this_thread::sleep_for(std::chrono::milliseconds(seen.size() % 5 == 0 ? 4 : 0));
  }
  expect_same(seen, epoch(fast, 0));
}

TEST(Loader, LoadersInManyThreadsSeeTheSame) {
  const Samples samples = numbered(64, 1, 3, 3);
  std::vector<std::vector<Batch>> seen(4);
  std::vector<std::thread> threads;
  for (std::vector<Batch>& mine : seen) {
    threads.emplace_back([&] {
      BatchLoader loader(samples, {}, everything(6));
      mine = epoch(loader, 3);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 1; i < seen.size(); ++i) expect_same(seen[0], seen[i]);
}

// Every augmented plane is the plane of some (dy, dx, flip), all are drawn, and all channels of a sample share theirs.
TEST(Loader, ShiftAndFlipAreExactCrops) {
  constexpr std::int64_t height = 5, width = 6, plane = height * width, count = 400;
  const Samples samples = numbered(count, 2, height, width);
  Preprocessing p;
  p.mean = {0.5f, 0.25f};
  p.std = {0.25f, 0.5f};
  BatchLoader loader(samples, p, {.batch = 100, .seed = 1, .augmentation = {.shift = 1, .flip = true}});
  std::vector<std::int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  const Tensor plain = p.apply(samples, order);
  std::set<int> drawn;
  std::int64_t sample = 0;
  for (const Batch& batch : epoch(loader, 0)) {
    for (std::int64_t n = 0; n < batch.images.shape()[0]; ++n, ++sample) {
      const float *got = batch.images.as<float>() + n * 2 * plane, *from = plain.as<float>() + sample * 2 * plane;
      int found = -1;
      for (int choice = 0; choice < 18; ++choice) {
        const std::int64_t dy = choice / 6 - 1, dx = choice / 2 % 3 - 1;
        bool equal = true;
        for (std::int64_t i = 0; i < 2 * plane && equal; ++i) {
          const std::int64_t c = i / plane, y = i % plane / width + dy, x = i % width;
          const std::int64_t sx = (choice % 2 == 1 ? width - 1 - x : x) + dx;
          const bool inside = y >= 0 && y < height && sx >= 0 && sx < width;
          const auto k = static_cast<std::size_t>(c);
          equal = got[i] == (inside ? from[c * plane + y * width + sx] : (0.0f - p.mean[k]) / p.std[k]);
        }
        if (equal) found = choice;
      }
      ASSERT_GE(found, 0) << "sample " << sample;
      drawn.insert(found);
    }
  }
  EXPECT_EQ(drawn.size(), 18u);
}

TEST(Loader, SeedAndEpochMakeDifferentAugmentations) {
  const Samples samples = numbered(24, 1, 6, 6);
  const auto images = [&](std::uint64_t seed, std::int64_t number) {
    BatchLoader::Options options = everything(seed);
    options.shuffle = false;
    options.batch = 24;
    BatchLoader loader(samples, {}, options);
    return epoch(loader, number)[0].images;
  };
  EXPECT_NE(images(1, 2), images(2, 1));
  EXPECT_NE(images(1, 1), images(2, 2));
  EXPECT_EQ(images(1, 2), images(1, 2));
}

TEST(Loader, AugmentationOfASampleDoesNotDependOnTheBatchSize) {
  const Samples samples = numbered(24, 1, 4, 4);
  BatchLoader::Options small = everything(8), large = everything(8);
  small.batch = 1;
  large.batch = 24;
  BatchLoader one(samples, {}, small), all(samples, {}, large);
  const Tensor together = epoch(all, 0)[0].images;
  const std::vector<Batch> alone = epoch(one, 0);
  for (std::size_t i = 0; i < 24; ++i)
    EXPECT_TRUE(
        std::equal(alone[i].images.as<float>(), alone[i].images.as<float>() + 16, together.as<float>() + 16 * i));
}

TEST(Loader, EndsInTheMiddleOfAnEpoch) {
  const Samples samples = numbered(1000, 1, 8, 8);
  for (int i = 0; i < 30; ++i) {
    BatchLoader loader(samples, {}, everything(1));
    loader.start(0);
    Batch batch;
    for (int k = 0; k < i % 5; ++k) ASSERT_TRUE(loader.next(batch));
    if (i % 3 == 0) loader.start(1);
    if (i % 3 == 1) {
      BatchLoader moved = std::move(loader);
      ASSERT_TRUE(moved.next(batch));
    }
  }
}

TEST(Loader, NothingComesBeforeAStartOrAfterTheEnd) {
  const Samples samples = counted(3);
  BatchLoader loader(samples, {}, {.batch = 2});
  Batch batch;
  EXPECT_FALSE(loader.next(batch));
  EXPECT_EQ(epoch(loader, 0).size(), 2u);
  EXPECT_FALSE(loader.next(batch));
  EXPECT_FALSE(loader.next(batch));
  EXPECT_EQ(epoch(loader, 1).size(), 2u);
}

TEST(Loader, AnErrorOfTheBackgroundReachesTheReader) {
  const Samples samples = counted(3);
  Preprocessing p;
  p.size = {3, 32, 32};
  BatchLoader loader(samples, p, {.batch = 2});
  loader.start(0);
  Batch batch;
  EXPECT_TRUE(holds(refusal([&] { (void)loader.next(batch); }), "the model expects samples [3, 32, 32]"));
  loader.start(1);  // and leaves the loader usable
  EXPECT_TRUE(holds(refusal([&] { (void)loader.next(batch); }), "the model expects samples"));
}

TEST(Loader, OptionsOutOfRangeAreRefused) {
  const Samples samples = counted(3);
  EXPECT_TRUE(holds(refusal([&] { BatchLoader(samples, {}, {.batch = 0}); }), "at least one sample"));
  EXPECT_TRUE(holds(refusal([&] { BatchLoader(samples, {}, {.batch = 1, .augmentation = {.shift = -1}}); }), "shift"));
}

}  // namespace
}  // namespace nnq
