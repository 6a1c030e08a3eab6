#include "methods/distortion.h"

#include <algorithm>

#include "methods/support.h"
#include "nnq/error.h"

namespace nnq::methods {
namespace {

/// The `count` leading left singular vectors of a double matrix, as columns.
at::Tensor leading_vectors(const at::Tensor& matrix, std::int64_t count) {
  const at::Tensor vectors = std::get<1>(at::linalg_eigh(matrix.matmul(matrix.t())));  // ascending
  return vectors.narrow(1, vectors.size(1) - count, count).flip(1);
}

/// kernel [a, b, h, w] with its first axis multiplied by matrix [r, a].
at::Tensor times_first(const at::Tensor& kernel, const at::Tensor& matrix) {
  std::vector<std::int64_t> shape = kernel.sizes().vec();
  shape[0] = matrix.size(0);
  return matrix.matmul(kernel.reshape({kernel.size(0), -1})).reshape(shape);
}

/// The same for the second axis.
at::Tensor times_second(const at::Tensor& kernel, const at::Tensor& matrix) {
  return times_first(kernel.transpose(0, 1).contiguous(), matrix).transpose(0, 1).contiguous();
}

at::Tensor unfold_first(const at::Tensor& kernel) { return kernel.reshape({kernel.size(0), -1}); }
at::Tensor unfold_second(const at::Tensor& kernel) { return kernel.transpose(0, 1).reshape({kernel.size(1), -1}); }

}  // namespace

at::Tensor prune_by_magnitude(const at::Tensor& w, double rate) {
  NNQ_CHECK(rate >= 0 && rate < 1, "the share of pruned weights must be in 0 .. 1, 1 excluded");
  const at::Tensor values = plain(w);
  if (values.numel() == 0) return values;
  const auto count = static_cast<std::int64_t>(rate * static_cast<double>(values.numel()));
  at::Tensor magnitudes = values.abs().flatten().clone();
  float* data = magnitudes.data_ptr<float>();
  std::nth_element(data, data + count, data + magnitudes.numel());
  return at::where(values.abs() >= data[count], values, at::zeros({}));
}

LowRank low_rank(const at::Tensor& w, std::int64_t rank) {
  NNQ_CHECK(w.dim() >= 2 && w.numel() > 0 && rank >= 1, "a low rank needs a weight of two axes or more");
  const at::Tensor matrix = plain(w).reshape({w.size(0), -1}).to(at::kDouble);
  const auto [u, s, v] = at::linalg_svd(matrix, false);
  const std::int64_t kept = std::min(rank, s.size(0));
  // Both factors get the root of each singular value: neither is much larger than the other.
  const at::Tensor root = s.narrow(0, 0, kept).sqrt();
  return {(u.narrow(1, 0, kept) * root).to(at::kFloat).contiguous(),
          (v.narrow(0, 0, kept) * root.unsqueeze(1)).to(at::kFloat).contiguous()};
}

at::Tensor compose(const LowRank& f, const at::Tensor& like) {
  return f.left.to(at::kDouble).matmul(f.right.to(at::kDouble)).to(at::kFloat).reshape(like.sizes()).contiguous();
}

Tucker2 tucker2(const at::Tensor& kernel, std::int64_t rank_outputs, std::int64_t rank_inputs, int sweeps) {
  NNQ_CHECK(kernel.dim() == 4 && kernel.numel() > 0 && rank_outputs >= 1 && rank_inputs >= 1,
            "Tucker-2 needs the kernel of a two-dimensional convolution");
  const at::Tensor k = plain(kernel).to(at::kDouble);
  const std::int64_t outputs = std::min(rank_outputs, k.size(0)), inputs = std::min(rank_inputs, k.size(1));
  at::Tensor u = leading_vectors(unfold_first(k), outputs), v = leading_vectors(unfold_second(k), inputs);
  for (int sweep = 0; sweep < sweeps; ++sweep) {
    u = leading_vectors(unfold_first(times_second(k, v.t())), outputs);
    v = leading_vectors(unfold_second(times_first(k, u.t())), inputs);
  }
  const at::Tensor core = times_second(times_first(k, u.t()), v.t());
  return {u.to(at::kFloat).contiguous(), core.to(at::kFloat).contiguous(), v.t().to(at::kFloat).contiguous()};
}

at::Tensor compose(const Tucker2& f) {
  const at::Tensor inner = times_second(f.core.to(at::kDouble), f.input.to(at::kDouble).t());
  return times_first(inner, f.output.to(at::kDouble)).to(at::kFloat).contiguous();
}

}  // namespace nnq::methods
