#include "support.h"

namespace nnq {
namespace {

using test::holds;
using test::refusal;
using Floats = std::vector<float>;
using Indices = std::vector<std::int64_t>;

TEST(Preprocessing, MetadataRoundTripIsExact) {
  Preprocessing p;
  p.mean = {0.4914f, 0.48216f, 1.0f / 3};
  p.std = {0.2470f, 1e-7f, 3.3e20f};
  p.size = {3, 32, 32};
  const auto metadata = p.to_metadata();
  EXPECT_EQ(metadata.at("nnq.input.size"), "3,32,32");
  const Preprocessing q = Preprocessing::from_metadata(metadata);
  EXPECT_EQ(q.mean, p.mean);
  EXPECT_EQ(q.std, p.std);
  EXPECT_EQ(q.size, p.size);
}

TEST(Preprocessing, MissingMetadataMeanTheDefaults) {
  const Preprocessing p = Preprocessing::from_metadata({{"other", "x"}});
  EXPECT_EQ(p.mean, Floats{0});
  EXPECT_EQ(p.std, Floats{1});
  EXPECT_TRUE(p.size.empty());
  EXPECT_FALSE(Preprocessing().to_metadata().contains("nnq.input.size"));
}

TEST(Preprocessing, DamagedMetadataAreRefused) {
  const auto said = [](const char* key, const char* value) {
    return refusal([&] { (void)Preprocessing::from_metadata({{key, value}}); });
  };
  EXPECT_TRUE(holds(said("nnq.input.mean", "0.5,abc"), "metadata nnq.input.mean: 'abc' is not a number"));
  EXPECT_TRUE(holds(said("nnq.input.mean", "0.5,,1"), "'' is not a number"));
  EXPECT_TRUE(holds(said("nnq.input.mean", "nan"), "'nan' is not a number"));
  EXPECT_TRUE(holds(said("nnq.input.mean", "1e200"), "does not fit float32"));
  EXPECT_TRUE(holds(said("nnq.input.std", "1,0"), "must be above 0"));
  EXPECT_TRUE(holds(said("nnq.input.std", "1e-60"), "must be above 0"));
  EXPECT_TRUE(holds(said("nnq.input.std", "-1"), "must be above 0"));
  for (const char* size : {"1e300", "-3", "0", "1.5"})
    EXPECT_TRUE(holds(said("nnq.input.size", size), "is not a size"));
}

TEST(Preprocessing, IndicesOutsideTheSetAreRefused) {
  const Samples samples = test::numbered(4, 2, 2, 3);
  for (const std::int64_t index : {std::int64_t{-1}, std::int64_t{4}, std::int64_t{1} << 62})
    EXPECT_TRUE(holds(refusal([&] {
                        (void)Preprocessing().apply(samples, Indices{0, index});
                      }),
                      "there is no sample"))
        << index;
  EXPECT_EQ(Preprocessing().apply(samples, Indices{}).shape(), (Shape{0, 2, 2, 3}));
}

TEST(Preprocessing, BytesAreNormalisedChannelByChannel) {
  const Samples samples = test::numbered(4, 2, 2, 3);
  Preprocessing p;
  p.mean = {0.25f, 0.5f};
  p.std = {0.5f, 2.0f};
  const Tensor batch = p.apply(samples, Indices{3, 1});
  ASSERT_EQ(batch.shape(), (Shape{2, 2, 2, 3}));
  const auto pixels = samples.images.values<std::uint8_t>();
  std::size_t at = 0;
  for (const std::size_t sample : {3u, 1u}) {
    for (std::size_t c = 0; c < 2; ++c) {
      for (std::size_t i = 0; i < 6; ++i) {
        const auto pixel = static_cast<float>(pixels[sample * 12 + c * 6 + i]);
        ASSERT_EQ(batch.as<float>()[at++], (pixel / 255.0f - p.mean[c]) / p.std[c]);
      }
    }
  }
}

TEST(Preprocessing, FloatsAreNotDividedBy255) {
  Samples samples;
  samples.images = Tensor::of<float>({2, 2}, {10, 20, 30, 40});
  Preprocessing p;
  p.mean = {10};
  p.std = {5};
  EXPECT_EQ(p.apply(samples, Indices{1, 0}).to_float(), (Floats{4, 6, 0, 2}));
  EXPECT_EQ(p.apply(samples, Indices{}).shape(), (Shape{0, 2}));
}

TEST(Preprocessing, DataThatDoNotFitTheModelAreRefused) {
  const Samples samples = test::numbered(2, 3, 4, 4);
  Preprocessing p;
  p.size = {1, 28, 28};
  EXPECT_TRUE(holds(refusal([&] { (void)p.apply(samples, Indices{0}); }),
                    "numbered: the model expects samples [1, 28, 28], the data have [3, 4, 4]"));
  p.size.clear();
  p.mean = {0, 0};
  EXPECT_TRUE(holds(refusal([&] { (void)p.apply(samples, Indices{0}); }), "2 means and 1 deviations for 3 channels"));
}

}  // namespace
}  // namespace nnq
