// The curves that `nnq methods NAME --plot` draws, of every registered quantizer.
#include "methods/transfer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "nnq/error.h"
#include "train/quantizer.h"

namespace nnq::methods {
namespace {

TEST(Transfer, EveryMethodHasACurveWhereItServes) {
  for (const train::Method& method : train::all_methods()) {
    int drawn = 0;
    for (const char* role : {"weight", "activation"})
      for (const int bits : {1, 2, 3}) {
        TransferCurve curve;
        try {
          curve = transfer_curve({method.info.id, role, bits, {}});
        } catch (const Error&) {
          continue;
        }
        ++drawn;
        const std::string what = method.info.id + ", " + role + ", " + std::to_string(bits);
        ASSERT_EQ(curve.value.size(), curve.x.size()) << what;
        ASSERT_EQ(curve.gradient.size(), curve.x.size()) << what;
        EXPECT_TRUE(std::is_sorted(curve.x.begin(), curve.x.end())) << what;
        const auto finite = [](double v) { return std::isfinite(v); };
        EXPECT_TRUE(std::all_of(curve.value.begin(), curve.value.end(), finite)) << what;
        EXPECT_TRUE(std::all_of(curve.gradient.begin(), curve.gradient.end(), finite)) << what;
        EXPECT_TRUE(std::is_sorted(curve.levels.begin(), curve.levels.end())) << what;
        if (std::string(role) == "activation") {
          EXPECT_TRUE(std::is_sorted(curve.value.begin(), curve.value.end())) << what;
          EXPECT_EQ(curve.levels.size(), std::size_t{1} << bits) << what << ": drawn beyond the last level";
        }
      }
    EXPECT_GT(drawn, 0) << method.info.id;
  }
}

TEST(Transfer, ShowsTheMethodsOwnGradient) {
  const TransferCurve sign = transfer_curve({"bnn", "activation", 1, {}});
  for (std::size_t i = 0; i < sign.x.size(); ++i) {
    EXPECT_EQ(sign.value[i], sign.x[i] >= 0 ? 1 : -1);
    EXPECT_EQ(sign.gradient[i], std::abs(static_cast<float>(sign.x[i])) <= 1 ? 1 : 0);
  }
  const TransferCurve lloyd = transfer_curve({"lq_nets", "weight", 2, {}});  // optimal levels of a normal distribution
  ASSERT_EQ(lloyd.levels.size(), 4U);
  EXPECT_NEAR(lloyd.levels[2], 0.4528, 0.01);
  EXPECT_NEAR(lloyd.levels[3], 1.510, 0.02);
}

TEST(Transfer, WhatAMethodDoesNotServeIsRefused) {
  EXPECT_THROW(transfer_curve({"ttq", "activation", 2, {}}), Error);
  EXPECT_THROW(transfer_curve({"ttq", "weight", 5, {}}), Error);
  EXPECT_THROW(transfer_curve({"ttq", "gradient", 2, {}}), Error);
  EXPECT_THROW(transfer_curve({"ttq", "weight", 2, {{"t", "x"}}}), Error);
  EXPECT_THROW(transfer_curve({"nonsense", "weight", 2, {}}), Error);
}

}  // namespace
}  // namespace nnq::methods
