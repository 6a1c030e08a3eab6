// Numbers of a sheet against a tensor's.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "train/torch_pch.h"

namespace nnq::train {

/// Every element of `got` (any shape, float32), in row-major order, within `tolerance` of what is expected.
inline void expect_near(const at::Tensor& got, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(got.numel(), static_cast<std::int64_t>(expected.size()));
  const at::Tensor values = got.detach().flatten().contiguous();
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(static_cast<double>(values.data_ptr<float>()[i]), expected[i], tolerance) << "element " << i;
}

}  // namespace nnq::train
