#include "train/fused_quantize.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "train/quantizer.h"
#include "train/threads.h"

namespace nnq::train {
namespace {

at::Tensor leaf(const at::Tensor& t) { return t.detach().clone().set_requires_grad(true); }

TEST(FusedQuantize, RoundsHalfToEvenAndClamps) {
  const at::Tensor x = at::tensor({-1.0f, 0.25f, 0.75f, 1.25f, 1.75f, 9.0f});
  const at::Tensor y = fused_clip_quantize(x, 0.5, 0, 3);
  EXPECT_TRUE(at::equal(y, at::tensor({0.0f, 0.0f, 1.0f, 1.0f, 1.5f, 1.5f}))) << y;  // 0.5 -> 0, 1.5 -> 2, 2.5 -> 2
}

TEST(FusedQuantize, NanBecomesTheLowestCode) {
  const at::Tensor x = at::full({40}, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(at::equal(fused_clip_quantize(x, 0.5, -2, 3), at::full({40}, -1.0f)));
}

TEST(FusedQuantize, GradientPassesInsideTheRangeInclusive) {
  const at::Tensor x = leaf(at::tensor({-0.1f, 0.0f, 0.7f, 1.0f, 1.1f}));
  fused_clip_quantize(x, 1.0 / 3, 0, 3).sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), at::tensor({0.0f, 1.0f, 1.0f, 1.0f, 0.0f}))) << x.grad();
}

TEST(FusedQuantize, SignOfZeroIsPlusOneAndTheMaskIsInclusive) {
  const at::Tensor x = leaf(at::tensor({-1.0001f, -1.0f, -0.0f, 0.0f, 1.0f, 1.0001f}));
  const at::Tensor y = fused_sign_ste(x, 1);
  EXPECT_TRUE(at::equal(y, at::tensor({-1.0f, -1.0f, 1.0f, 1.0f, 1.0f, 1.0f})));
  y.sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), at::tensor({0.0f, 1.0f, 1.0f, 1.0f, 1.0f, 0.0f})));
}

/// The formulas of arXiv:1902.08153 (eq. 3, 5) in plain tensor operations and double.
TEST(FusedQuantize, LearnedScaleHasThePublishedGradient) {
  at::manual_seed(5);
  const at::Tensor x = leaf(at::randn({7, 16, 33, 31})), scale = leaf(at::full({1}, 0.3f)), g = at::randn(x.sizes());
  const double factor = 0.01;
  fused_uniform_quantize(x, scale, -4, 3, factor).backward(g);
  const at::Tensor v = (x.detach() / 0.3f), inside = at::logical_and(v >= -4, v <= 3);
  EXPECT_TRUE(at::equal(x.grad(), g * inside));
  const at::Tensor slope = at::where(inside, at::round(v) - v, at::clamp(v, -4, 3));
  const double expected = at::sum(slope.to(at::kDouble) * g.to(at::kDouble)).item<double>() * factor;
  EXPECT_NEAR(scale.grad().item<double>(), expected, 1e-5 * std::abs(expected) + 1e-6);
}

TEST(FusedQuantize, OneScaleAChannelIsAChannelAtATime) {
  at::manual_seed(8);
  const at::Tensor x = leaf(at::randn({5, 200, 300})),
                   scale = leaf(at::tensor({0.1f, 0.2f, 0.3f, 0.4f, 0.5f}).reshape({5, 1, 1}));
  const at::Tensor g = at::randn(x.sizes()), y = fused_uniform_quantize(x, scale, -2, 1, 0.5);
  y.backward(g);
  for (std::int64_t c = 0; c < 5; ++c) {
    const at::Tensor row = leaf(x[c]), step = leaf(scale[c]);
    const at::Tensor alone = fused_uniform_quantize(row, step, -2, 1, 0.5);
    alone.backward(g[c]);
    EXPECT_TRUE(at::equal(alone, y[c]));
    EXPECT_TRUE(at::equal(row.grad(), x.grad()[c]));
    EXPECT_TRUE(at::equal(step.grad(), scale.grad()[c]));
  }
}

TEST(FusedQuantize, SameBitsWhateverTheThreads) {
  at::manual_seed(6);
  const at::Tensor data = at::randn({5, 40, 50, 60}), g = at::randn(data.sizes());
  std::vector<at::Tensor> gradients;
  for (const int count : {1, 2, 3}) {
    set_threads(count);
    const at::Tensor x = leaf(data), scale = leaf(at::full({1}, 0.37f));
    fused_uniform_quantize(x, scale, 0, 15, 1).backward(g);
    gradients.push_back(scale.grad());
    EXPECT_TRUE(at::equal(scale.grad(), gradients[0])) << count << " threads";
  }
  set_threads(0);
}

/// Gradients are masked in place only when nobody else holds them.
TEST(FusedQuantize, LeavesSharedGradientsAlone) {
  const at::Tensor x = leaf(at::tensor({-1.0f, 0.5f, 2.0f})), g = at::tensor({1.0f, 2.0f, 3.0f});
  fused_clip_quantize(x, 0.5, 0, 2).backward(g);
  EXPECT_TRUE(at::equal(g, at::tensor({1.0f, 2.0f, 3.0f})));
  EXPECT_TRUE(at::equal(x.grad(), at::tensor({0.0f, 2.0f, 0.0f})));
  // One gradient tensor goes to both sides of an addition, and one is kept by the middle of a chain.
  const at::Tensor a = leaf(x), b = leaf(x), middle = fused_sign_ste(b, 1);
  middle.retain_grad();
  (fused_clip_quantize(a, 0.5, 0, 2) + fused_sign_ste(middle * 0.1, 5)).backward(at::ones({3}));
  EXPECT_TRUE(at::equal(a.grad(), at::tensor({0.0f, 1.0f, 0.0f})));
  EXPECT_TRUE(at::allclose(middle.grad(), at::full({3}, 0.1f)));
  EXPECT_TRUE(at::allclose(b.grad(), at::tensor({0.1f, 0.1f, 0.0f})));
}

/// The mask decides by x / scale, rounded, at the last place too.
TEST(FusedQuantize, MaskAgreesWithTheDivisionAtTheBorder) {
  for (const float scale : {0.1f, 0.3f, 1.0f / 15, 7.7f, 1e-30f, 1e30f}) {
    std::vector<float> values{0.0f, -0.0f, 1e-45f, -1e-45f, INFINITY, -INFINITY};
    for (const float border : {-4 * scale, 3 * scale})
      for (float v : {border, std::nextafter(border, -INFINITY), std::nextafter(border, INFINITY)}) {
        values.push_back(v);
        values.push_back(std::nextafter(v, INFINITY));
        values.push_back(std::nextafter(v, -INFINITY));
      }
    const at::Tensor x = leaf(at::tensor(values));
    fused_clip_quantize(x, scale, -4, 3).sum().backward();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float v = values[i] / scale;
      EXPECT_EQ(x.grad()[static_cast<std::int64_t>(i)].item<float>(), v >= -4 && v <= 3 ? 1.0f : 0.0f)
          << values[i] << " / " << scale;
    }
  }
}

TEST(FusedQuantize, KeepsMemoryOrderAndTakesAnyGradientOrder) {
  const at::Tensor x = leaf(at::randn({2, 8, 5, 5}).contiguous(at::MemoryFormat::ChannelsLast));
  const at::Tensor y = fused_clip_quantize(x, 0.5, 0, 3), g = at::randn({2, 8, 5, 5});
  EXPECT_TRUE(y.is_contiguous(at::MemoryFormat::ChannelsLast));
  y.backward(g);
  EXPECT_TRUE(at::equal(x.grad(), g * at::logical_and(x >= 0, x <= 1.5)));
}

TEST(FusedQuantize, TakesStridedInputs) {
  const at::Tensor whole = at::randn({6, 10});
  const at::Tensor part = whole.slice(1, 0, 10, 3);
  EXPECT_TRUE(at::equal(fused_clip_quantize(part, 0.5, 0, 3), fused_clip_quantize(part.contiguous(), 0.5, 0, 3)));
}

TEST(StraightThrough, ReturnsQItselfWithTheGradientOfX) {
  const at::Tensor x = leaf(at::tensor({0.3f, 1e8f})), q = at::tensor({0.1f, 1.0f});
  const at::Tensor y = straight_through(x, q);
  EXPECT_TRUE(at::equal(y, q));  // x + (q - x) would give 0 for the second
  y.backward(at::tensor({2.0f, 3.0f}));
  EXPECT_TRUE(at::equal(x.grad(), at::tensor({2.0f, 3.0f})));
}

TEST(StraightThrough, MaskMultipliesTheGradient) {
  const at::Tensor x = leaf(at::tensor({0.3f, 5.0f}));
  straight_through_masked(x, at::sign(x), at::tensor({1.0f, 0.0f})).backward(at::tensor({2.0f, 3.0f}));
  EXPECT_TRUE(at::equal(x.grad(), at::tensor({2.0f, 0.0f})));
}

}  // namespace
}  // namespace nnq::train
