// Pools that have no meaning are refused, by interpreter and session alike.
#include <gtest/gtest.h>

#include "nnq/runtime.h"
#include "runtime/shapes.h"

namespace nnq {
namespace {

Step pool(StepKind kind, Window window) {
  Step step;
  step.kind = kind;
  step.window = window;
  return step;
}

TEST(PoolLimits, DilatedWindowsMustSeeTheImage) {
  const Window w = {.kernel_h = 2, .kernel_w = 1, .dilation_h = 2, .pad_top = 1, .pad_bottom = 1};
  Shape out;
  EXPECT_FALSE(pool_shape(pool(StepKind::max_pool, w), {1, 1, 1, 3}, out).ok());
  EXPECT_TRUE(pool_shape(pool(StepKind::max_pool, w), {1, 2, 1, 3}, out).ok());
  EXPECT_EQ(out, (Shape{1, 2, 1, 3}));
}

TEST(PoolLimits, SumsMustFit32Bits) {
  const Window plane = {.kernel_h = 0, .kernel_w = 0};
  Shape out;
  EXPECT_TRUE(pool_shape(pool(StepKind::sum_pool, plane), {1, 2901, 2902, 1}, out).ok());
  EXPECT_FALSE(pool_shape(pool(StepKind::sum_pool, plane), {1, 2903, 2903, 1}, out).ok());
  EXPECT_FALSE(pool_shape(pool(StepKind::sum_pool, plane), {1, 1, std::int64_t{1} << 33, 1}, out).ok());
}

}  // namespace
}  // namespace nnq
