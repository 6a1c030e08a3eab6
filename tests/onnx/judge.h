// Comparison of nnq's interpreter with ONNX Runtime on an exported graph.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "close.h"
#include "networks.h"
#include "nnq/onnx.h"
#include "onnxruntime.h"

namespace nnq::test {

/// The graph's outputs by ONNX Runtime, through a file.
inline std::vector<Tensor> judged(const Graph& graph, const std::map<std::string, Tensor>& feeds,
                                  bool optimize = true) {
  const std::filesystem::path file =
      std::filesystem::path(::testing::TempDir()) / ("nnq_judge_" + std::to_string(::getpid()) + ".onnx");
  export_onnx(graph, file);
  std::vector<Tensor> outputs = run_onnxruntime(file, feeds, optimize);
  std::filesystem::remove(file);
  return outputs;
}

inline std::vector<std::int64_t> predictions(const Tensor& logits) {
  std::vector<std::int64_t> out;
  const std::int64_t classes = logits.shape().back();
  for (std::int64_t i = 0; i < logits.count(); i += classes) {
    const float* row = logits.as<float>() + i;
    out.push_back(std::max_element(row, row + classes) - row);
  }
  return out;
}

/// Largest magnitude, which tolerances on logits are relative to.
inline double magnitude(const Tensor& t) {
  double most = 0;
  for (const float v : t.to_float()) most = std::max(most, std::abs(static_cast<double>(v)));
  return most;
}

inline void expect_close(const std::vector<Tensor>& theirs, const std::vector<Tensor>& ours, double relative) {
  ASSERT_EQ(theirs.size(), ours.size());
  for (std::size_t i = 0; i < ours.size(); ++i)
    EXPECT_EQ(difference_between(theirs[i], ours[i], 0, relative * magnitude(ours[i])), "") << "output " << i;
}

class Judge : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = no_onnxruntime(); !reason.empty()) GTEST_SKIP() << reason;
  }
};

/// A frozen network predicts the same classes in both, and the values differ by float rounding at most.
inline void expect_same_predictions(const Graph& graph) {
  const auto feeds = feeds_for(graph, 4, 4);
  const std::vector<Tensor> theirs = judged(graph, feeds), ours = interpret(graph, feeds);
  expect_close(theirs, ours, 1e-5);
  EXPECT_EQ(predictions(theirs[0]), predictions(ours[0]));
}

}  // namespace nnq::test
