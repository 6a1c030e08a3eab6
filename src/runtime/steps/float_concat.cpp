// Concat of float tensors: rows of every input side by side, copied as they lie.
#include <algorithm>
#include <cstring>

#include "runtime/steps/float_simple.h"

namespace nnq {
namespace {

class FloatConcat final : public PreparedStep {
 public:
  /// axis: where the inputs differ, counted from 0.
  FloatConcat(const PlanContext& plan, const Step& step, std::size_t axis) : out_(plan.slot(step.outputs[0])) {
    kernel = "concat_float";
    std::int64_t inner = sizeof(float);
    for (std::size_t d = axis + 1; d < out_.shape.size(); ++d) inner *= out_.shape[d];
    for (std::size_t d = 0; d < axis; ++d) rows_ *= out_.shape[d];
    row_ = inner * out_.shape[axis];
    std::int64_t offset = 0;
    for (const std::int32_t v : step.inputs) {
      const Slot& slot = plan.slot(v);
      parts_.push_back({&slot, offset, inner * slot.shape[axis]});
      offset += parts_.back().bytes;
    }
    // Pieces of a row, where there are few rows: copies that are worth dealing.
    pieces_ = std::clamp<std::int64_t>(row_ / worth, 1, plan.threads);
  }

  Status run(ThreadPool& pool) override {
    const std::int64_t all = rows_ * pieces_, each = std::max<std::int64_t>(1, worth / (row_ / pieces_ + 1));
    pool.parallel((all + each - 1) / each, [&](std::int64_t part) {
      for (std::int64_t i = part * each; i < std::min(all, (part + 1) * each); ++i) copy(i / pieces_, i % pieces_);
    });
    return {};
  }

 private:
  static constexpr std::int64_t worth = 1 << 15;  // bytes
  struct Part {
    const Slot* slot;
    std::int64_t offset, bytes;  // in a row of the output
  };

  void copy(std::int64_t row, std::int64_t piece) const {
    const std::int64_t first = row_ * piece / pieces_, end = row_ * (piece + 1) / pieces_;
    for (const Part& p : parts_) {
      const std::int64_t from = std::max(first, p.offset), to = std::min(end, p.offset + p.bytes);
      if (from < to)
        std::memcpy(out_.data + row * row_ + from, p.slot->data + row * p.bytes + (from - p.offset),
                    static_cast<std::size_t>(to - from));
    }
  }

  const Slot& out_;
  std::vector<Part> parts_;
  std::int64_t rows_ = 1, row_ = 0, pieces_ = 1;  // row_: bytes of a row of the output
};

}  // namespace

std::unique_ptr<PreparedStep> make_float_concat(const PlanContext& plan, const Step& step) {
  const Shape& out = plan.slot(step.outputs[0]).shape;
  const auto rank = static_cast<std::int64_t>(out.size());
  std::int64_t axis = step.node.get_int("axis", 0), sum = 0;
  axis += axis < 0 ? rank : 0;
  if (axis < 0 || axis >= rank) return nullptr;
  for (const std::int32_t v : step.inputs) {
    const Slot& slot = plan.slot(v);
    if (slot.shape.size() != out.size()) return nullptr;
    sum += slot.shape[static_cast<std::size_t>(axis)];
  }
  if (sum != out[static_cast<std::size_t>(axis)]) return nullptr;
  return std::make_unique<FloatConcat>(plan, step, static_cast<std::size_t>(axis));
}

}  // namespace nnq
