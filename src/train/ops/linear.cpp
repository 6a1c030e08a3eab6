// Gemm and MatMul.
#include "train/torch_op.h"

namespace nnq::train {
namespace {

Kernel gemm(const Build& build) {
  const double alpha = build.node.get_float("alpha", 1), beta = build.node.get_float("beta", 1);
  const bool trans_a = build.node.get_int("transA", 0) != 0, trans_b = build.node.get_int("transB", 0) != 0;
  return one_output([=](const Args& args) {
    const at::Tensor a = trans_a ? args[0].t() : args[0];
    const at::Tensor b = trans_b ? args[1].t() : args[1];
    if (args.has(2)) return at::addmm(args[2], a, b, beta, alpha);
    const at::Tensor product = at::mm(a, b);
    return alpha == 1 ? product : product * alpha;
  });
}

Kernel matmul(const Build&) {
  return one_output([](const Args& args) { return at::matmul(args[0], args[1]); });
}

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(linear) {
  add("Gemm", gemm, "");
  add("MatMul", matmul, "");
}
