// QuantizeVectors (domain ai.nnq, opset 1): vectors along the last axis quantized on line, docs/quantized-graph.md.
#include "ops/support/check.h"
#include "ops/support/multiply.h"
#include "ops/support/vector_attributes.h"

namespace nnq::ops {
namespace {

Status infer_vectors(InferContext& ctx) {
  NNQ_REQUIRE(!ctx.input(0).ranked || !ctx.input(0).shape.empty(), title(ctx.node), ": a number is no vector");
  VectorCode code;
  NNQ_TRY(read_vector_code(ctx.node, "", code));
  return infer_same(ctx);
}

Status evaluate_vectors(EvalContext& ctx) {
  VectorCode code;
  NNQ_TRY(read_vector_code(ctx.node, "", code));
  const TensorView& x = ctx.input(0);
  const std::int64_t n = x.shape.empty() ? 0 : x.shape.back(), count = x.count();
  const Workspace work(ctx.scratch, static_cast<std::size_t>(n));
  float scales[multibit::kMaxBits];
  for (std::int64_t i = 0; i < count; i += n)
    quantize_vector(code, x.as<float>() + i, n, scales, work.as<std::uint8_t>(), ctx.output(0).as<float>() + i);
  return {};
}

std::size_t vectors_scratch(const Node&, std::span<const ValueType> in) {
  return in[0].shape.empty() ? 0 : static_cast<std::size_t>(in[0].shape.back().value);
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(vectors) {
  Op op = define("QuantizeVectors", {.inputs = {{kF32}}, .attributes = "bits:i cycles:i uniform:i"}, infer_vectors,
                 evaluate_vectors);
  op.domain = kNnqDomain;
  op.scratch = vectors_scratch;
  add(std::move(op));
}
