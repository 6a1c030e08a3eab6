// Gemm and MatMul.
#include "train/torch_op.h"

namespace nnq::train {
namespace {

Kernel gemm(const Build& build) {
  const double alpha = build.node.get_float("alpha", 1), beta = build.node.get_float("beta", 1);
  const bool trans_a = build.node.get_int("transA", 0) != 0, trans_b = build.node.get_int("transB", 0) != 0;
  return one_output([=, twofold = build.twofold](const Args& args) {
    return summed(args, twofold, [&](const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
      const at::Tensor a = trans_a ? x.t() : x;
      const at::Tensor b = trans_b ? w.t() : w;
      if (bias.defined()) return at::addmm(bias, a, b, beta, alpha);
      const at::Tensor product = at::mm(a, b);
      return alpha == 1 ? product : product * alpha;
    });
  });
}

Kernel matmul(const Build& build) {
  return one_output([twofold = build.twofold](const Args& args) {
    return summed(args, twofold,
                  [](const at::Tensor& a, const at::Tensor& b, const at::Tensor&) { return at::matmul(a, b); });
  });
}

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(linear) {
  add("Gemm", gemm, "");
  add("MatMul", matmul, "");
}
