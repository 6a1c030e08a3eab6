// Reductions, Softmax, LogSoftmax, ArgMax.
#include "train/torch_op.h"

namespace nnq::train {
namespace {

std::vector<std::int64_t> all_axes(const at::Tensor& x) {
  std::vector<std::int64_t> axes;
  for (std::int64_t d = 0; d < x.dim(); ++d) axes.push_back(d);
  return axes;
}

using Function = at::Tensor (*)(const at::Tensor&, at::IntArrayRef, bool);

Builder reduction(Function f) {
  return [f](const Build& build) {
    const Integers axes(build, "axes", 1);
    const bool keep = build.node.get_int("keepdims", 1) != 0,
               no_op = build.node.get_int("noop_with_empty_axes", 0) != 0;
    return one_output([=](const Args& args) {
      const at::Tensor& x = args[0];
      std::vector<std::int64_t> list = axes.present() ? axes.read(args) : std::vector<std::int64_t>{};
      if (list.empty() && no_op) return x;
      if (list.empty()) list = all_axes(x);
      return list.empty() ? x : f(x, list, keep);
    });
  };
}

at::Tensor mean(const at::Tensor& x, at::IntArrayRef axes, bool keep) { return at::mean(x, axes, keep); }
at::Tensor sum(const at::Tensor& x, at::IntArrayRef axes, bool keep) { return at::sum(x, axes, keep, x.scalar_type()); }
at::Tensor largest(const at::Tensor& x, at::IntArrayRef axes, bool keep) { return at::amax(x, axes, keep); }
at::Tensor smallest(const at::Tensor& x, at::IntArrayRef axes, bool keep) { return at::amin(x, axes, keep); }

/// Before opset 13 the axes from `axis` on were flattened into one.
template <class F>
Builder softmax_like(F f) {
  return [f](const Build& build) {
    const bool flattens = build.opset < 13;
    const std::int64_t axis = build.node.get_int("axis", flattens ? 1 : -1);
    return one_output([=](const Args& args) {
      const at::Tensor& x = args[0];
      if (!flattens || x.dim() == 0) return f(x, axis);
      const std::int64_t first = axis < 0 ? axis + x.dim() : axis;
      NNQ_CHECK(first >= 0 && first <= x.dim(), "axis is outside the input's rank");
      std::int64_t rows = 1;
      for (std::int64_t d = 0; d < first; ++d) rows *= x.size(d);
      return f(x.reshape({rows, rows == 0 ? 0 : x.numel() / rows}), 1).reshape(x.sizes());
    });
  };
}

at::Tensor softmax(const at::Tensor& x, std::int64_t axis) { return at::softmax(x, axis); }
at::Tensor log_softmax(const at::Tensor& x, std::int64_t axis) { return at::log_softmax(x, axis); }

Kernel argmax(const Build& build) {
  if (build.node.get_int("select_last_index", 0) != 0) return {};
  const std::int64_t axis = build.node.get_int("axis", 0);
  const bool keep = build.node.get_int("keepdims", 1) != 0;
  return one_output([=](const Args& args) { return at::argmax(args[0], axis, keep); });
}

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(reduction) {
  add("ReduceMean", reduction(mean), "");
  add("ReduceSum", reduction(sum), "");
  add("ReduceMax", reduction(largest), "");
  add("ReduceMin", reduction(smallest), "");
  add("Softmax", softmax_like(softmax), "");
  add("LogSoftmax", softmax_like(log_softmax), "");
  add("ArgMax", argmax, "");
}
