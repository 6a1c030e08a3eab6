// QuantizeVectors: every vector along the last axis quantized on line; the gradient passes unchanged (Xu et al. 2018,
// arXiv:1802.00150, section 4).
#include "train/quantizer.h"
#include "train/torch_op.h"
#include "train/vector_quantizer.h"

namespace nnq::train {
namespace {

Kernel quantize_vectors(const Build& build) {
  const StateQuantizer quantize = vector_quantizer(build.node, "");
  return one_output([quantize](const Args& args) {
    const at::Tensor& x = args[0];
    NNQ_CHECK(x.scalar_type() == at::kFloat && x.dim() > 0, "QuantizeVectors takes float32 vectors");
    if (x.numel() == 0) return x;
    return straight_through(x, quantize(x.detach().reshape({-1, x.size(-1)})).view(x.sizes()));
  });
}

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(vectors) { add("QuantizeVectors", quantize_vectors, kNnqDomain); }
