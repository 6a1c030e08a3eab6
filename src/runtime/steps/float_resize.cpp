// Resize and Upsample of the last two axes of float tensors: images, or the length of a series. Samples and weights of
// every output row and column are made while planning; running adds them up in double, in the reference's order, and
// rounds once, so that the bits are the reference's. Nearest samples are copied.
#include <algorithm>
#include <cstring>

#include "core/clones.h"
#include "ops/support/resize.h"
#include "runtime/steps/float_simple.h"

namespace nnq {
namespace {

using ops::ResizeTable;

NNQ_CLONES void add_row(const float* __restrict from, double weight, std::int64_t count, double* __restrict to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] += weight * static_cast<double>(from[i]);
}

NNQ_CLONES void add_doubles(const double* __restrict from, double weight, std::int64_t count, double* __restrict to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] += weight * from[i];
}

NNQ_CLONES void round_row(const double* __restrict from, std::int64_t count, float* __restrict to) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

/// One axis: its extents and, when it changes, a table.
struct Side {
  std::int64_t in = 1, out = 1;
  bool changes = false;
  ResizeTable table;

  const std::int64_t* index(std::int64_t o) const { return table.index.data() + o * table.taps; }
  const double* weight(std::int64_t o) const { return table.weight.data() + o * table.taps; }
};

/// A row through the table of its axis.
template <class From>
void along(const Side& side, const From* from, double* to) {
  for (std::int64_t o = 0; o < side.out; ++o) {
    const std::int64_t* index = side.index(o);
    const double* weight = side.weight(o);
    double sum = 0;
    // A weight of 0 takes nothing: an infinity beside the sample must not become NaN.
    for (std::int64_t t = 0; t < side.table.taps; ++t)
      sum += weight[t] != 0 ? weight[t] * static_cast<double>(from[index[t]]) : 0;
    to[o] = sum;
  }
}

struct Sides {
  Side rows, columns;
  bool rows_first = true;
  bool nearest = false;
};

class FloatResize final : public PreparedStep {
 public:
  FloatResize(const PlanContext& plan, const Step& step, Sides sides)
      : x_(plan.slot(step.inputs[0])), y_(plan.slot(step.outputs[0])), sides_(std::move(sides)) {
    kernel = sides_.nearest ? "resize_nearest_float" : "resize_float";
    planes_ = static_cast<std::int64_t>(y_.bytes / sizeof(float)) / (sides_.rows.out * sides_.columns.out);
    // Where columns come first, their results for the whole plane are kept; else one row is.
    const std::int64_t kept = columns_first() ? sides_.rows.in * sides_.columns.out : sides_.columns.in;
    bands_ = columns_first()
                 ? 1
                 : std::clamp<std::int64_t>(plan.threads * 4 / std::max<std::int64_t>(planes_, 1), 1, sides_.rows.out);
    parts_ = std::min<std::int64_t>(planes_ * bands_, plan.threads * 4);
    part_bytes_ = sides_.nearest ? 0 : static_cast<std::size_t>(kept + sides_.columns.out) * sizeof(double);
    scratch_bytes = part_bytes_ * static_cast<std::size_t>(parts_);
  }

  Status run(ThreadPool& pool) override {
    const std::int64_t all = planes_ * bands_, rows = sides_.rows.out;
    pool.parallel(parts_, [&](std::int64_t part) {
      auto* const own = reinterpret_cast<double*>(scratch + part_bytes_ * static_cast<std::size_t>(part));
      for (std::int64_t i = all * part / parts_; i < all * (part + 1) / parts_; ++i) {
        const float* x = x_.as<float>() + i / bands_ * sides_.rows.in * sides_.columns.in;
        float* y = y_.as<float>() + i / bands_ * rows * sides_.columns.out;
        const std::int64_t band = i % bands_, first = rows * band / bands_, end = rows * (band + 1) / bands_;
        if (sides_.nearest)
          nearest(x, first, end, y);
        else if (columns_first())
          by_columns(x, own, y);
        else
          by_rows(x, first, end, own, y);
      }
    });
    return {};
  }

 private:
  bool columns_first() const { return !sides_.rows_first && sides_.rows.changes && sides_.columns.changes; }

  void nearest(const float* x, std::int64_t first, std::int64_t end, float* y) const {
    const Side &rows = sides_.rows, &columns = sides_.columns;
    std::int64_t last = -1;
    for (std::int64_t o = first; o < end; ++o) {
      const std::int64_t from = rows.changes ? *rows.index(o) : o;
      float* const to = y + o * columns.out;
      if (from == last) {
        std::memcpy(to, to - columns.out, static_cast<std::size_t>(columns.out) * sizeof(float));
        continue;
      }
      last = from;
      const float* const row = x + from * columns.in;
      const std::int64_t* const index = columns.table.index.data();
      // 0 is added as a sum of one product has it: -0 becomes 0.
      for (std::int64_t i = 0; i < columns.out; ++i) to[i] = row[columns.changes ? index[i] : i] + 0.0F;
    }
  }

  void by_rows(const float* x, std::int64_t first, std::int64_t end, double* own, float* y) const {
    const Side &rows = sides_.rows, &columns = sides_.columns;
    double* const made = own + columns.in;
    for (std::int64_t o = first; o < end; ++o) {
      float* const to = y + o * columns.out;
      if (rows.changes) {
        std::fill_n(own, columns.in, 0.0);
        for (std::int64_t t = 0; t < rows.table.taps; ++t)
          if (rows.weight(o)[t] != 0) add_row(x + rows.index(o)[t] * columns.in, rows.weight(o)[t], columns.in, own);
        if (columns.changes) along(columns, own, made);
      } else {
        along(columns, x + o * columns.in, made);
      }
      round_row(columns.changes ? made : own, columns.out, to);
    }
  }

  void by_columns(const float* x, double* own, float* y) const {
    const Side &rows = sides_.rows, &columns = sides_.columns;
    for (std::int64_t i = 0; i < rows.in; ++i) along(columns, x + i * columns.in, own + i * columns.out);
    double* const made = own + rows.in * columns.out;
    for (std::int64_t o = 0; o < rows.out; ++o) {
      std::fill_n(made, columns.out, 0.0);
      for (std::int64_t t = 0; t < rows.table.taps; ++t)
        if (rows.weight(o)[t] != 0)
          add_doubles(own + rows.index(o)[t] * columns.out, rows.weight(o)[t], columns.out, made);
      round_row(made, columns.out, y + o * columns.out);
    }
  }

  const Slot& x_;
  const Slot& y_;
  Sides sides_;
  std::int64_t planes_ = 0, bands_ = 1, parts_ = 0;  // bands: parts of a plane's rows
  std::size_t part_bytes_ = 0;
};

/// Tables of the axes that change; false: others than the last two do, or none, or the node is not understood.
bool read_sides(const PlanContext& plan, const Step& step, Sides& sides) {
  const Slot &x = plan.slot(step.inputs[0]), &y = plan.slot(step.outputs[0]);
  const std::size_t rank = x.shape.size();
  ops::ResizeStyle style;
  ops::ResizeWanted wanted;
  const auto given = [&](std::size_t i) { return i < step.inputs.size() && step.inputs[i] >= 0; };
  const auto value = [&](std::size_t i) -> std::optional<TensorView> {
    const Tensor* constant = plan.slot(step.inputs[i]).constant;
    return constant == nullptr ? std::nullopt : std::optional(constant->view());
  };
  if (rank < 2 || !ops::read_resize_style(step.node, step.opset, style).ok() ||
      !ops::read_resize_wanted(step.node, step.opset, given, value, wanted).ok() || !wanted.known ||
      style.coordinates == ops::ResizeCoordinates::tf_crop_and_resize)
    return false;
  std::vector<ops::ResizeAxis> axes(rank);
  for (std::size_t d = 0; d < rank; ++d) axes[d].in = x.shape[d];
  if (!ops::resolve_resize(step.node, wanted, false, axes).ok()) return false;
  for (std::size_t d = 0; d < rank; ++d) {
    if (axes[d].out != y.shape[d]) return false;
  }
  sides.rows.in = x.shape[rank - 2], sides.rows.out = y.shape[rank - 2];
  sides.columns.in = x.shape[rank - 1], sides.columns.out = y.shape[rank - 1];
  sides.nearest = style.mode == ops::ResizeMode::nearest;
  const std::vector<std::size_t> order = ops::resize_order(axes, false);
  for (const std::size_t axis : order) {
    if (axis + 2 < rank) return false;
    Side& side = axis + 2 == rank ? sides.rows : sides.columns;
    side.changes = true;
    if (!ops::make_resize_table(step.node, style, axes[axis], side.table).ok()) return false;
  }
  sides.rows_first = !order.empty() && order[0] + 2 == rank;
  return !order.empty();
}

}  // namespace

std::unique_ptr<PreparedStep> make_float_resize(const PlanContext& plan, const Step& step) {
  Sides sides;
  if (plan.slot(step.inputs[0]).bytes == 0 || !read_sides(plan, step, sides)) return nullptr;
  return std::make_unique<FloatResize>(plan, step, std::move(sides));
}

}  // namespace nnq
