// Steps of integers that have no weights: the sum of two values, or one value alone, into an epilogue.
#include <algorithm>

#include "runtime/plan.h"
#include "runtime/shapes.h"

namespace nnq {
namespace {

/// The step with its epilogue's numbers written out for every channel, as EpilogueWriter reads them.
Step per_channel(const Step& step, std::int64_t channels) {
  Step full;
  full.kind = step.kind;
  full.inputs = step.inputs;
  full.outputs = step.outputs;
  full.out_channels = channels;
  full.epilogue = step.epilogue;
  Epilogue& e = full.epilogue;
  const auto n = static_cast<std::size_t>(channels);
  const auto levels = static_cast<std::size_t>(e.levels);
  for (auto* values : {&e.a, &e.b})
    if (values->size() == 1) values->resize(n, (*values)[0]);
  if (e.direction.size() == 1) {
    e.direction.resize(n, e.direction[0]);
    e.thresholds.resize(n * levels);
    for (std::size_t i = levels; i < e.thresholds.size(); ++i) e.thresholds[i] = e.thresholds[i - levels];
  }
  return full;
}

class Add final : public PreparedStep {
 public:
  Add(const PlanContext& plan, const Step& step)
      : channels_(plan.slot(step.inputs[0]).channels()),
        step_(per_channel(step, channels_)),
        epilogue_(plan, step_),
        positions_(plan.slot(step.inputs[0]).positions()),
        widen_(epilogue_kernels(plan.isa).widen) {
    kernel = step.kind == StepKind::add ? "add" : "thresholds";
    for (const std::int32_t v : step.inputs) inputs_.push_back({&plan.slot(v), plan.code(v).min});
    // As many tasks as keep the threads busy; each goes through strips whose sums stay in its first-level cache.
    rows_ = std::clamp<std::int64_t>(4096 / std::max<std::int64_t>(channels_, 1), 1, 64);
    const std::int64_t strips = (positions_ + rows_ - 1) / rows_, wanted = plan.threads == 1 ? 1 : plan.threads * 4;
    each_ = std::max<std::int64_t>(1, (strips + wanted - 1) / wanted) * rows_;
    tasks_ = (positions_ + each_ - 1) / each_;
    part_ = (rows_ * channels_ + 15) / 16 * 16;
    scratch_bytes = static_cast<std::size_t>(tasks_ * part_) * 4;
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(tasks_, [this](std::int64_t task) {
      std::int32_t* sums = reinterpret_cast<std::int32_t*>(scratch) + task * part_;
      const std::int64_t end = std::min(positions_, (task + 1) * each_);
      for (std::int64_t first = task * each_; first < end; first += rows_) {
        const std::int64_t count = std::min(rows_, end - first);
        sum(first, count, sums);
        epilogue_.write(sums, channels_, first, count);
      }
    });
    return {};
  }

 private:
  struct Input {
    const Slot* slot;
    std::int32_t min;
  };

  void sum(std::int64_t first, std::int64_t count, std::int32_t* sums) const {
    const Input &a = inputs_.front(), &b = inputs_.back();  // one or two
    if (a.slot->storage != Storage::bytes || b.slot->storage != Storage::bytes) {
      std::fill_n(sums, count * channels_, 0);
      for (const Input& input : inputs_) add(input, first, count, sums);
      return;
    }
    const std::int64_t from = first * channels_;
    const bool two = inputs_.size() > 1;
    widen_({a.slot->as<std::uint8_t>() + from, two ? b.slot->as<std::uint8_t>() + from : nullptr, count * channels_,
            a.min + (two ? b.min : 0), sums});
  }

  void add(const Input& input, std::int64_t first, std::int64_t count, std::int32_t* sums) const {
    const std::int64_t n = count * channels_, from = first * channels_;
    if (input.slot->storage == Storage::sums) {
      const std::int32_t* x = input.slot->as<std::int32_t>() + from;
      for (std::int64_t i = 0; i < n; ++i) sums[i] += x[i];
    } else if (input.slot->storage == Storage::bytes) {
      const std::uint8_t* x = input.slot->as<std::uint8_t>() + from;
      for (std::int64_t i = 0; i < n; ++i) sums[i] += x[i] + input.min;
    } else {
      const std::int64_t words = input.slot->words();
      for (std::int64_t p = 0; p < count; ++p) {
        const std::uint32_t* x = input.slot->as<std::uint32_t>() + (first + p) * words;
        std::int32_t* sum = sums + p * channels_;
        for (std::int64_t c = 0; c < channels_; ++c) sum[c] += (x[c / 32] >> (c % 32) & 1u) != 0 ? 1 : -1;
      }
    }
  }

  std::int64_t channels_;
  Step step_;
  EpilogueWriter epilogue_;
  std::int64_t positions_, rows_ = 1, each_ = 1, tasks_ = 0, part_ = 0;
  std::vector<Input> inputs_;
  WidenKernel widen_;
};

}  // namespace

std::unique_ptr<PreparedStep> make_add(const PlanContext& plan, const Step& step) {
  return std::make_unique<Add>(plan, step);
}

}  // namespace nnq
