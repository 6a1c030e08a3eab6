// Codes with levels of their own (domain ai.nnq, opset 1): Bucketize and Levels, docs/quantized-graph.md.
#include <cmath>

#include "ops/support/check.h"

namespace nnq::ops {
namespace {

/// Input i as a list; its length when it is known.
Status list_length(const InferContext& ctx, std::size_t i, const char* what, Dim& length) {
  const ValueType& list = ctx.input(i);
  NNQ_REQUIRE(!list.ranked || list.shape.size() == 1, title(ctx.node), ": ", what, " must be a list, got ",
              list.to_string());
  length = list.ranked ? list.shape[0] : Dim();
  return {};
}

Status infer_bucketize(InferContext& ctx) {
  Dim count;
  NNQ_TRY(list_length(ctx, 1, "the thresholds", count));
  const std::int64_t bits = ctx.node.get_int("bits", 8);
  NNQ_REQUIRE(bits >= 1 && bits <= 8, title(ctx.node), ": bits must be 1 to 8, got ", bits);
  NNQ_REQUIRE(!count.known() || count.value < std::int64_t{1} << bits, title(ctx.node), ": ", count.value,
              " thresholds make more codes than ", bits, " bits hold");
  return infer_same(ctx);
}

Status evaluate_bucketize(EvalContext& ctx) {
  const std::int64_t count = ctx.input(0).count(), thresholds = ctx.input(1).count();
  const float *x = ctx.input(0).as<float>(), *t = ctx.input(1).as<float>();
  float* y = ctx.output(0).as<float>();
  for (std::int64_t i = 0; i < count; ++i) {
    std::int32_t passed = 0;
    for (std::int64_t l = 0; l < thresholds; ++l) passed += x[i] >= t[l] ? 1 : 0;  // NaN passes none
    y[i] = static_cast<float>(passed);
  }
  return {};
}

Status infer_levels(InferContext& ctx) {
  Dim count;
  NNQ_TRY(list_length(ctx, 1, "the table", count));
  NNQ_REQUIRE(!count.known() || (count.value >= 1 && count.value <= 256), title(ctx.node),
              ": a table has 1 to 256 levels, got ", count.value);
  return infer_same(ctx);
}

Status evaluate_levels(EvalContext& ctx) {
  const std::int64_t count = ctx.input(0).count(), levels = ctx.input(1).count();
  const float *c = ctx.input(0).as<float>(), *table = ctx.input(1).as<float>();
  float* y = ctx.output(0).as<float>();
  for (std::int64_t i = 0; i < count; ++i) {
    NNQ_REQUIRE(c[i] >= 0 && c[i] < static_cast<float>(levels), title(ctx.node), ": the table of ", levels,
                " levels has none for code ", c[i]);
    y[i] = table[static_cast<std::int64_t>(c[i])];
  }
  return {};
}

Op own(std::string name, Signature signature, Status (*infer)(InferContext&), Status (*evaluate)(EvalContext&)) {
  Op op = define(std::move(name), std::move(signature), infer, evaluate);
  op.domain = kNnqDomain;
  return op;
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(levels) {
  const Formal value{kF32};
  add(own("Bucketize", {.inputs = {value, value}, .attributes = "bits:i"}, infer_bucketize, evaluate_bucketize));
  add(own("Levels", {.inputs = {value, value}}, infer_levels, evaluate_levels));
}
