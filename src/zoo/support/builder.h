// Layers as a zoo file writes them: each call appends nodes and initialised weights and returns the new value.
#pragma once

#include <string>

#include "nnq/graph.h"

namespace nnq::zoo {

struct ConvOptions {
  std::int64_t kernel = 3, stride = 1, pad = 1, groups = 1;
  bool bias = false;
};

class Builder {
 public:
  /// A graph with one float32 input "input" [N, sample...].
  Builder(const Shape& sample, std::uint64_t seed);

  Graph graph;
  std::string input = "input";

  std::string conv(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                   const ConvOptions& options = {});
  /// Fully connected, weight [out, in] (Gemm with transB).
  std::string linear(const std::string& name, const std::string& x, std::int64_t in, std::int64_t out,
                     bool bias = true);
  std::string batch_norm(const std::string& name, const std::string& x, std::int64_t channels);
  std::string relu(const std::string& name, const std::string& x);
  std::string hard_tanh(const std::string& name, const std::string& x);
  std::string activation(const std::string& name, const std::string& kind, const std::string& x);  // relu | hardtanh
  std::string add(const std::string& name, const std::string& a, const std::string& b);
  std::string max_pool(const std::string& name, const std::string& x, std::int64_t kernel, std::int64_t stride,
                       std::int64_t pad = 0);
  std::string global_average_pool(const std::string& name, const std::string& x);  // and Flatten: [N, C]
  /// Zeroes a share of the values in training; nothing when the share is 0.
  std::string dropout(const std::string& name, const std::string& x, float share);
  std::string flatten(const std::string& name, const std::string& x);
  Graph finish(const std::string& output);

  /// Normal with deviation sqrt(2 / fan_out) (He, for convolutions) or uniform +-sqrt(6 / (in + out)) (Glorot).
  Tensor he(const std::string& name, const Shape& shape, std::int64_t fan);
  Tensor glorot(const std::string& name, const Shape& shape, std::int64_t in, std::int64_t out);

 private:
  std::uint64_t seed_;
};

}  // namespace nnq::zoo
