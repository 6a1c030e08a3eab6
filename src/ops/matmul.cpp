// Gemm and MatMul, and their integer forms MatMulInteger and QLinearMatMul. Sums in double, rounded once.
#include <cmath>
#include <limits>

#include "ops/support/check.h"
#include "ops/support/multiply.h"

namespace nnq::ops {
namespace {

// ---- Gemm: alpha * A' * B' + beta * C

Status infer_gemm(InferContext& ctx) {
  const ValueType &a = ctx.input(0), &b = ctx.input(1);
  NNQ_REQUIRE(!a.ranked || a.shape.size() == 2, title(ctx.node), ": A must be a matrix, got ", a.to_string());
  NNQ_REQUIRE(!b.ranked || b.shape.size() == 2, title(ctx.node), ": B must be a matrix, got ", b.to_string());
  const bool ta = ctx.node.get_int("transA", 0) != 0, tb = ctx.node.get_int("transB", 0) != 0;
  SymbolicShape shape(2);
  if (a.ranked) shape[0] = a.shape[ta ? 1 : 0];
  if (b.ranked) shape[1] = b.shape[tb ? 0 : 1];
  Dim inner;
  if (a.ranked && b.ranked)
    NNQ_TRY(unify(ctx.node, "inner dimensions of A and B", a.shape[ta ? 0 : 1], b.shape[tb ? 1 : 0], inner));
  if (ctx.has(2) && ctx.input(2).ranked) {
    SymbolicShape joined;
    NNQ_TRY(broadcast(ctx.node, shape, ctx.input(2).shape, joined));
    bool grows = joined.size() != 2;
    for (std::size_t i = 0; i < 2 && !grows; ++i) grows = shape[i].known() && joined[i] != shape[i];
    NNQ_REQUIRE(!grows, title(ctx.node), ": C ", ctx.input(2).to_string(), " does not broadcast to ", to_string(shape));
  }
  set_output(ctx, 0, ranked(a.dtype, std::move(shape)));
  return {};
}

Status evaluate_gemm(EvalContext& ctx) {
  const TensorView &a = ctx.input(0), &b = ctx.input(1), &y = ctx.output(0);
  const bool ta = ctx.node.get_int("transA", 0) != 0, tb = ctx.node.get_int("transB", 0) != 0;
  const auto alpha = static_cast<double>(ctx.node.get_float("alpha", 1)),
             beta = static_cast<double>(ctx.node.get_float("beta", 1));
  const std::int64_t m = y.shape[0], n = y.shape[1], k = a.shape[ta ? 0 : 1];
  const Dims c_strides = ctx.has(2) ? broadcast_strides(ctx.input(2).shape, y.shape) : Dims(2, 0);
  const Workspace work(ctx.scratch, panel_bytes(k));
  double bias[kBlock];
  multiply_panels(
      m, n, k, work.as<double>(),
      [&](std::int64_t row, double* out, std::int64_t step) {
        load_doubles(a.dtype, a.data, ta ? row : row * k, ta ? m : 1, k, out, step);
      },
      [&](std::int64_t first, std::int64_t count, double* out, std::int64_t stride) {
        if (tb) {
          for (std::int64_t j = 0; j < count; ++j)
            load_doubles(b.dtype, b.data, (first + j) * k, 1, k, out + j, stride);
        } else {
          for (std::int64_t i = 0; i < k; ++i)
            load_doubles(b.dtype, b.data, i * n + first, 1, count, out + i * stride, 1);
        }
      },
      [](std::int64_t, std::int64_t, std::int64_t, double*) {},
      [&](std::int64_t row, std::int64_t first, std::int64_t count, double* v) {
        for (std::int64_t j = 0; j < count; ++j) v[j] *= alpha;
        if (ctx.has(2)) {
          load_doubles(ctx.input(2).dtype, ctx.input(2).data, row * c_strides[0] + first * c_strides[1], c_strides[1],
                       count, bias, 1);
          for (std::int64_t j = 0; j < count; ++j) v[j] += beta * bias[j];
        }
        store<double>(y.dtype, y.data, row * n + first, count, v);
      });
  return {};
}

// ---- MatMul, NumPy's: batch dims broadcast, vectors are rows or columns.

/// Shapes of a and b with vectors made matrices; the output shape.
Status infer_product(const Node& node, const ValueType& a, const ValueType& b, DType type, ValueType& out) {
  NNQ_REQUIRE((!a.ranked || !a.shape.empty()) && (!b.ranked || !b.shape.empty()), title(node),
              ": scalars have no matrix product");
  if (!a.ranked || !b.ranked) {
    out = unranked(type);
    return {};
  }
  SymbolicShape left = a.shape, right = b.shape, shape;
  if (left.size() == 1) left.insert(left.begin(), Dim(1));
  if (right.size() == 1) right.emplace_back(1);
  Dim inner;
  NNQ_TRY(unify(node, "inner dimensions", left.back(), right[right.size() - 2], inner));
  NNQ_TRY(broadcast(node, {left.begin(), left.end() - 2}, {right.begin(), right.end() - 2}, shape));
  if (a.shape.size() > 1) shape.push_back(left[left.size() - 2]);
  if (b.shape.size() > 1) shape.push_back(right.back());
  out = ranked(type, std::move(shape));
  return {};
}

Status infer_matmul(InferContext& ctx) {
  ValueType type;
  NNQ_TRY(infer_product(ctx.node, ctx.input(0), ctx.input(1), ctx.input(0).dtype, type));
  set_output(ctx, 0, std::move(type));
  return {};
}

/// Zero points subtracted from rows of A (or all of it) and columns of B.
struct ZeroPoints {
  const TensorView* a = nullptr;
  const TensorView* b = nullptr;
  static double of(const TensorView* t, std::int64_t i) {
    return t == nullptr ? 0.0 : at<double>(*t, t->count() == 1 ? 0 : i);
  }
};

/// finish(offset, first column, count, values): a piece of an output row whose first element is at `offset`.
template <class Finish>
void multiply_batches(const TensorView& a, const TensorView& b, const ZeroPoints& zero, std::span<std::byte> scratch,
                      Finish&& finish) {
  Dims left(a.shape), right(b.shape);
  if (left.size() == 1) {
    left = Dims(2, 1);
    left[1] = a.shape[0];
  }
  if (right.size() == 1) {
    right = Dims(2, 1);
    right[0] = b.shape[0];
  }
  const std::int64_t m = left[left.size() - 2], k = left.back(), n = right.back();
  const std::size_t batch_rank = std::max(left.size(), right.size()) - 2;
  Dims batch(batch_rank, 1), in_left, in_right;
  for (std::size_t i = 0; i + 2 < left.size(); ++i) in_left.push_back(left[i]);
  for (std::size_t i = 0; i + 2 < right.size(); ++i) in_right.push_back(right[i]);
  for (std::size_t i = 0; i < in_left.size(); ++i) batch[batch_rank - in_left.size() + i] = in_left[i];
  for (std::size_t i = 0; i < in_right.size(); ++i) {
    std::int64_t& d = batch[batch_rank - in_right.size() + i];
    if (d == 1) d = in_right[i];
  }
  const Workspace work(scratch, panel_bytes(k));
  const Dims left_steps = broadcast_strides(in_left, batch), right_steps = broadcast_strides(in_right, batch);
  if (batch.product() == 0) return;
  Dims index(batch_rank, 0);
  std::int64_t y = 0;
  do {
    std::int64_t from_a = 0, from_b = 0;
    for (std::size_t i = 0; i < batch_rank; ++i) {
      from_a += index[i] * left_steps[i] * m * k;
      from_b += index[i] * right_steps[i] * k * n;
    }
    multiply_panels(
        m, n, k, work.as<double>(),
        [&](std::int64_t row, double* out, std::int64_t step) {
          load_doubles(a.dtype, a.data, from_a + row * k, 1, k, out, step);
          const double z = ZeroPoints::of(zero.a, row);
          for (std::int64_t i = 0; i < k && z != 0; ++i) out[i * step] -= z;
        },
        [&](std::int64_t first, std::int64_t count, double* out, std::int64_t stride) {
          for (std::int64_t i = 0; i < k; ++i) {
            load_doubles(b.dtype, b.data, from_b + i * n + first, 1, count, out + i * stride, 1);
            for (std::int64_t j = 0; j < count && zero.b != nullptr; ++j)
              out[i * stride + j] -= ZeroPoints::of(zero.b, first + j);
          }
        },
        [](std::int64_t, std::int64_t, std::int64_t, double*) {},
        [&](std::int64_t row, std::int64_t first, std::int64_t count, double* v) {
          finish(y + row * n + first, first, count, v);
        });
    y += m * n;
  } while (next_index(index, batch, batch_rank));
}

Status evaluate_matmul(EvalContext& ctx) {
  const TensorView& y = ctx.output(0);
  multiply_batches(ctx.input(0), ctx.input(1), {}, ctx.scratch,
                   [&](std::int64_t offset, std::int64_t, std::int64_t count, double* v) {
                     store<double>(y.dtype, y.data, offset, count, v);
                   });
  return {};
}

/// A scale or zero point that is one value, or one for each row of A / column of B.
Status check_parameter(const InferContext& ctx, std::size_t i, const Dim& extent) {
  if (!ctx.has(i) || !ctx.input(i).ranked) return {};
  Dim count;
  NNQ_TRY(product(ctx.node, ctx.input(i).shape, 0, ctx.input(i).shape.size(), count));
  NNQ_REQUIRE(!count.known() || count.value == 1 || !extent.known() || count.value == extent.value, title(ctx.node),
              ": input ", i, " ", ctx.input(i).to_string(), " must hold 1 or ", extent.value, " values");
  NNQ_REQUIRE(!count.known() || count.value != 0, title(ctx.node), ": input ", i, " is empty");
  return {};
}

Dim row_count(const ValueType& a) {
  if (!a.ranked || a.shape.empty()) return {};
  return a.shape.size() > 1 ? a.shape[a.shape.size() - 2] : Dim(1);
}

Dim column_count(const ValueType& b) {
  if (!b.ranked || b.shape.empty()) return {};
  return b.shape.size() > 1 ? b.shape.back() : Dim(1);
}

Status infer_matmul_integer(InferContext& ctx) {
  NNQ_TRY(check_parameter(ctx, 2, row_count(ctx.input(0))));
  NNQ_TRY(check_parameter(ctx, 3, column_count(ctx.input(1))));
  ValueType type;
  NNQ_TRY(infer_product(ctx.node, ctx.input(0), ctx.input(1), DType::i32, type));
  set_output(ctx, 0, std::move(type));
  return {};
}

Status evaluate_matmul_integer(EvalContext& ctx) {
  auto* out = ctx.output(0).as<std::int32_t>();
  const ZeroPoints zero{ctx.has(2) ? &ctx.input(2) : nullptr, ctx.has(3) ? &ctx.input(3) : nullptr};
  multiply_batches(ctx.input(0), ctx.input(1), zero, ctx.scratch,
                   [&](std::int64_t offset, std::int64_t, std::int64_t count, double* v) {
                     for (std::int64_t j = 0; j < count; ++j)
                       out[offset + j] = static_cast<std::int32_t>(static_cast<std::int64_t>(v[j]));
                   });
  return {};
}

// ---- QLinearMatMul: inputs a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero

Status infer_qlinear_matmul(InferContext& ctx) {
  for (std::size_t i : {1U, 2U, 6U, 7U}) NNQ_TRY(check_parameter(ctx, i, Dim(1)));
  for (std::size_t i : {4U, 5U}) NNQ_TRY(check_parameter(ctx, i, column_count(ctx.input(3))));
  ValueType type;
  NNQ_TRY(infer_product(ctx.node, ctx.input(0), ctx.input(3), ctx.input(7).dtype, type));
  set_output(ctx, 0, std::move(type));
  return {};
}

Status evaluate_qlinear_matmul(EvalContext& ctx) {
  const TensorView& y = ctx.output(0);
  const double low = y.dtype == DType::i8 ? -128 : 0, high = y.dtype == DType::i8 ? 127 : 255;
  const auto a_scale = at<float>(ctx.input(1), 0), y_scale = at<float>(ctx.input(6), 0);
  const auto y_zero = at<double>(ctx.input(7), 0);
  const TensorView& b_scale = ctx.input(4);
  multiply_batches(ctx.input(0), ctx.input(3), {&ctx.input(2), &ctx.input(5)}, ctx.scratch,
                   [&](std::int64_t offset, std::int64_t first, std::int64_t count, double* v) {
                     for (std::int64_t j = 0; j < count; ++j) {
                       const float scale = a_scale * static_cast<float>(ZeroPoints::of(&b_scale, first + j)) / y_scale;
                       const double scaled = std::nearbyint(v[j] * static_cast<double>(scale)) + y_zero;
                       v[j] = scaled >= low ? std::min(scaled, high) : low;
                     }
                     store<double>(y.dtype, y.data, offset, count, v);
                   });
  return {};
}

std::int64_t inner_extent(const ValueType& a, bool transposed) {
  if (a.shape.empty()) return 0;
  return transposed ? a.shape[0].value : a.shape.back().value;
}

std::int64_t times(std::int64_t inner, const ValueType& y) {
  std::int64_t total = inner;
  for (const Dim& d : y.shape) total *= d.value;
  return total;
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(matmul) {
  Op gemm = define("Gemm",
                   {.inputs = {{kNumber}, {kNumber, false, 0}, {kNumber, true, 0}},
                    .attributes = "alpha:f beta:f transA:i transB:i"},
                   infer_gemm, evaluate_gemm);
  gemm.macs = [](const Node& node, std::span<const ValueType> in, std::span<const ValueType> out) {
    return times(inner_extent(in[0], node.get_int("transA", 0) != 0), out[0]);
  };
  gemm.scratch = [](const Node& node, std::span<const ValueType> in) {
    return panel_bytes(inner_extent(in[0], node.get_int("transA", 0) != 0));
  };
  add(std::move(gemm));

  const auto add_product = [&](const char* name, Signature signature, Status (*infer)(InferContext&),
                               Status (*evaluate)(EvalContext&)) {
    Op op = define(name, std::move(signature), infer, evaluate);
    op.macs = [](const Node&, std::span<const ValueType> in, std::span<const ValueType> out) {
      return times(inner_extent(in[0], false), out[0]);
    };
    op.scratch = [](const Node&, std::span<const ValueType> in) { return panel_bytes(inner_extent(in[0], false)); };
    add(std::move(op));
  };
  add_product("MatMul", {.inputs = {{kNumber}, {kNumber, false, 0}}}, infer_matmul, evaluate_matmul);
  add_product("MatMulInteger", {.inputs = {{kByte}, {kByte}, {kByte, true, 0}, {kByte, true, 1}}}, infer_matmul_integer,
              evaluate_matmul_integer);
  add_product(
      "QLinearMatMul",
      {.inputs = {{kByte}, {kFloat}, {kByte, false, 0}, {kByte}, {kFloat}, {kByte, false, 3}, {kFloat}, {kByte}}},
      infer_qlinear_matmul, evaluate_qlinear_matmul);
}
