// Softmax, LogSoftmax, Hardmax. Before opset 13 the input is seen as a matrix split at `axis` (default 1); from 13 on
// they run along `axis` (default -1). Exponentials and sums are double, rounded once.
#include <cmath>

#include "ops/support/check.h"
#include "ops/support/elements.h"

namespace nnq::ops {
namespace {

Status lines(const Node& node, std::int64_t opset, const Dims& dims, std::int64_t& outer, std::int64_t& length,
             std::int64_t& inner) {
  const bool flattens = opset < 13;
  std::int64_t axis = 0;
  // A matrix split may also be at the end (rows of one).
  const auto rank = static_cast<std::int64_t>(dims.size());
  NNQ_TRY(normalize_axis(node, node.get_int("axis", flattens ? 1 : -1), std::max<std::int64_t>(rank, 1), axis));
  const auto a = std::min(static_cast<std::size_t>(axis), dims.size());
  outer = dims.product(0, a);
  if (flattens || dims.empty()) {
    length = dims.product(a, dims.size());
    inner = 1;
  } else {
    length = dims[a];
    inner = dims.product(a + 1, dims.size());
  }
  return {};
}

Status infer_softmax(InferContext& ctx) {
  if (ctx.input(0).ranked) {
    std::int64_t outer = 0, length = 0, inner = 0;
    NNQ_TRY(lines(ctx.node, ctx.opset, Dims(ctx.input(0).shape.size(), 1), outer, length, inner));
  }
  return infer_same(ctx);
}

enum class Kind { softmax, log_softmax, hardmax };

void one_line(Kind kind, const TensorView& x, const TensorView& y, std::int64_t base, std::int64_t length,
              std::int64_t step) {
  const auto value = [&](std::int64_t k) { return at<double>(x, base + k * step); };
  double largest = -INFINITY, sum = 0;
  std::int64_t where = 0;
  for (std::int64_t k = 0; k < length; ++k) {
    const double v = value(k);
    if (k == 0 || v > largest) {
      largest = v;
      where = k;
    }
  }
  for (std::int64_t k = 0; k < length && kind != Kind::hardmax; ++k) sum += std::exp(value(k) - largest);
  const double log_sum = std::log(sum);
  for (std::int64_t k = 0; k < length; ++k) {
    double v = k == where ? 1.0 : 0.0;
    if (kind == Kind::softmax) v = std::exp(value(k) - largest) / sum;
    if (kind == Kind::log_softmax) v = value(k) - largest - log_sum;
    store<double>(y.dtype, y.data, base + k * step, 1, &v);
  }
}

std::function<Status(EvalContext&)> evaluate(Kind kind) {
  return [kind](EvalContext& ctx) -> Status {
    const TensorView& x = ctx.input(0);
    std::int64_t outer = 0, length = 0, inner = 0;
    NNQ_TRY(lines(ctx.node, ctx.opset, x.shape, outer, length, inner));
    for (std::int64_t o = 0; o < outer && length > 0; ++o) {
      for (std::int64_t i = 0; i < inner; ++i) one_line(kind, x, ctx.output(0), o * length * inner + i, length, inner);
    }
    return {};
  };
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(softmax) {
  const Signature signature{.inputs = {{kFloat}}, .attributes = "axis:i"};
  add(define("Softmax", signature, infer_softmax, evaluate(Kind::softmax)));
  add(define("LogSoftmax", signature, infer_softmax, evaluate(Kind::log_softmax)));
  add(define("Hardmax", signature, infer_softmax, evaluate(Kind::hardmax)));
}
