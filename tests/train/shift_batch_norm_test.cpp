// Worked numbers of the BNN sheet.
#include "train/shift_batch_norm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "train/ap2.h"

namespace nnq::train {
namespace {

TEST(Ap2, RoundsTheExponent) {
  for (const auto& [x, expected] : std::vector<std::pair<float, float>>{{3.0f, 4.0f},
                                                                        {5.0f, 4.0f},
                                                                        {6.0f, 8.0f},
                                                                        {10.0f, 8.0f},
                                                                        {0.7f, 0.5f},
                                                                        {0.3f, 0.25f},
                                                                        {-1.5f, -2.0f},
                                                                        {1.4142f, 1.0f},
                                                                        {1.4143f, 2.0f},
                                                                        {0.0f, 0.0f},
                                                                        {1e-42f, 0x1p-140f}})
    EXPECT_EQ(ap2(x), expected) << x;
}

TEST(ShiftBatchNorm, ForwardAndBackwardOfTheSheet) {
  const at::Tensor x = at::tensor({1.0f, 2.0f, 3.0f, 6.0f}).reshape({4, 1}).set_requires_grad(true);
  const at::Tensor gamma = at::full({1}, 0.7f).set_requires_grad(true), beta = at::zeros({1}).set_requires_grad(true);
  at::Tensor mean = at::zeros({1}), inverse = at::ones({1});
  const at::Tensor y = shift_batch_norm(x, gamma, beta, mean, inverse, 1e-5, 0.875);
  EXPECT_TRUE(at::equal(y.flatten(), at::tensor({-0.5f, -0.25f, 0.0f, 0.75f}))) << y;
  EXPECT_NEAR(mean.item<float>(), 0.125 * 3, 1e-6);
  EXPECT_NEAR(inverse.item<float>(), 0.875 + 0.125 * 0.48507, 1e-5);
  y.backward(at::tensor({0.1f, -0.2f, 0.3f, 0.4f}).reshape({4, 1}));
  EXPECT_TRUE(at::allclose(x.grad().flatten(), at::tensor({0.0375f, -0.0625f, 0.0375f, -0.0375f}), 1e-5, 1e-6))
      << x.grad();
  EXPECT_NEAR(gamma.grad().item<float>(), 0.8, 1e-6);
  EXPECT_NEAR(beta.grad().item<float>(), 0.6, 1e-6);
}

}  // namespace
}  // namespace nnq::train
