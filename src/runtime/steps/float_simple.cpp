// Float operators common between layers that the plain reference would make the slowest of a network.
#include "runtime/steps/float_simple.h"

#include <algorithm>

namespace nnq {
namespace {

/// max(x, 0); NaN stays NaN, as the reference has it.
class FloatRelu final : public PreparedStep {
 public:
  FloatRelu(const PlanContext& plan, const Step& step)
      : x_(plan.slot(step.inputs[0])), y_(plan.slot(step.outputs[0])), count_(static_cast<std::int64_t>(y_.bytes / 4)) {
    kernel = "relu_float";
  }
  Status run(ThreadPool& pool) override {
    const std::int64_t part = std::max<std::int64_t>(4096, count_ / (pool.threads() * 4));
    pool.parallel((count_ + part - 1) / part, [&](std::int64_t p) {
      const float* x = x_.as<float>();
      float* y = y_.as<float>();
      for (std::int64_t i = p * part; i < std::min(count_, (p + 1) * part); ++i) y[i] = x[i] < 0 ? 0.0f : x[i];
    });
    return {};
  }

 private:
  const Slot& x_;
  const Slot& y_;
  std::int64_t count_;
};

/// x * a + b, two roundings, one value or one a channel.
class FloatAffine final : public PreparedStep {
 public:
  FloatAffine(const PlanContext& plan, const Step& step, std::int64_t channels, std::int64_t inner)
      : x_(plan.slot(step.inputs[0])),
        a_(plan.slot(step.inputs[1])),
        b_(plan.slot(step.inputs[2])),
        y_(plan.slot(step.outputs[0])),
        channels_(channels),
        inner_(inner) {
    kernel = "affine_float";
  }
  Status run(ThreadPool& pool) override {
    const std::int64_t rows = static_cast<std::int64_t>(y_.bytes / 4) / std::max<std::int64_t>(inner_, 1),
                       part = std::max<std::int64_t>(1 + 4096 / std::max<std::int64_t>(inner_, 1),
                                                     rows / (pool.threads() * 4));
    pool.parallel((rows + part - 1) / part, [&](std::int64_t p) {
      for (std::int64_t r = p * part; r < std::min(rows, (p + 1) * part); ++r) {
        const std::int64_t c = r % channels_;
        const float a = a_.as<float>()[a_.bytes == 4 ? 0 : c], b = b_.as<float>()[b_.bytes == 4 ? 0 : c];
        const float* x = x_.as<float>() + r * inner_;
        float* y = y_.as<float>() + r * inner_;
        for (std::int64_t i = 0; i < inner_; ++i) {
          const float scaled = x[i] * a;
          y[i] = scaled + b;
        }
      }
    });
    return {};
  }

 private:
  const Slot& x_;
  const Slot& a_;
  const Slot& b_;
  const Slot& y_;
  std::int64_t channels_, inner_;
};

/// The sum of two tensors of one shape: a residual.
class FloatAdd final : public PreparedStep {
 public:
  FloatAdd(const PlanContext& plan, const Step& step)
      : a_(plan.slot(step.inputs[0])),
        b_(plan.slot(step.inputs[1])),
        y_(plan.slot(step.outputs[0])),
        count_(static_cast<std::int64_t>(y_.bytes / 4)) {
    kernel = "add_float";
  }
  Status run(ThreadPool& pool) override {
    const std::int64_t part = std::max<std::int64_t>(4096, count_ / (pool.threads() * 4));
    pool.parallel((count_ + part - 1) / part, [&](std::int64_t p) {
      const float *a = a_.as<float>(), *b = b_.as<float>();
      float* y = y_.as<float>();
      for (std::int64_t i = p * part; i < std::min(count_, (p + 1) * part); ++i) y[i] = a[i] + b[i];
    });
    return {};
  }

 private:
  const Slot& a_;
  const Slot& b_;
  const Slot& y_;
  std::int64_t count_;
};

bool all_float(const PlanContext& plan, const Step& step) {
  return std::all_of(step.inputs.begin(), step.inputs.end(),
                     [&](std::int32_t v) { return v >= 0 && plan.slot(v).dtype == DType::f32; });
}

std::unique_ptr<PreparedStep> make_affine(const PlanContext& plan, const Step& step) {
  const Shape& shape = plan.slot(step.inputs[0]).shape;
  const auto rank = static_cast<std::int64_t>(shape.size());
  std::int64_t axis = step.node.get_int("axis", 1), inner = 1;
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank) return nullptr;
  for (auto d = static_cast<std::size_t>(axis) + 1; d < shape.size(); ++d) inner *= shape[d];
  return std::make_unique<FloatAffine>(plan, step, shape[static_cast<std::size_t>(axis)], inner);
}

}  // namespace

std::unique_ptr<PreparedStep> make_float_simple(const PlanContext& plan, const Step& step) {
  if (step.inputs.empty() || step.inputs[0] < 0 || step.outputs.empty() || step.outputs[0] < 0 ||
      plan.slot(step.inputs[0]).dtype != DType::f32)
    return nullptr;
  if (step.node.is("Relu")) return std::make_unique<FloatRelu>(plan, step);
  if (step.node.is("MaxPool") || step.node.is("AveragePool") || step.node.is("GlobalAveragePool"))
    return make_float_pool(plan, step);
  if (plan.slot(step.outputs[0]).bytes == 0) return nullptr;
  if (step.node.is("Resize") || step.node.is("Upsample")) return make_float_resize(plan, step);
  if (!all_float(plan, step)) return nullptr;
  if (step.node.is("Affine", kNnqDomain) && step.inputs.size() == 3) return make_affine(plan, step);
  if (step.node.is("Concat")) return make_float_concat(plan, step);
  if (step.node.is("Softmax") || step.node.is("LogSoftmax")) return make_float_softmax(plan, step);
  if (step.node.is("Add") && step.inputs.size() == 2 &&
      plan.slot(step.inputs[0]).shape == plan.slot(step.inputs[1]).shape)
    return std::make_unique<FloatAdd>(plan, step);
  return nullptr;
}

}  // namespace nnq
