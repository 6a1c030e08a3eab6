// Float operators common between layers that the plain reference would make the slowest of a network.
#include "runtime/steps/float_simple.h"

#include <algorithm>
#include <limits>

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

/// MaxPool over images whose windows never leave the image: rows of a plane at a time.
class FloatMaxPool final : public PreparedStep {
 public:
  FloatMaxPool(const PlanContext& plan, const Step& step, std::int64_t kernel_h, std::int64_t kernel_w,
               std::int64_t stride_h, std::int64_t stride_w)
      : x_(plan.slot(step.inputs[0])),
        y_(plan.slot(step.outputs[0])),
        kernel_h_(kernel_h),
        kernel_w_(kernel_w),
        stride_h_(stride_h),
        stride_w_(stride_w) {
    kernel = "max_pool_float";
  }
  Status run(ThreadPool& pool) override {
    pool.parallel(y_.shape[0] * y_.shape[1], [this](std::int64_t plane) {
      const std::int64_t h = x_.shape[2], w = x_.shape[3], out_h = y_.shape[2], out_w = y_.shape[3];
      const float* x = x_.as<float>() + plane * h * w;
      float* y = y_.as<float>() + plane * out_h * out_w;
      for (std::int64_t oy = 0; oy < out_h; ++oy, y += out_w) {
        for (std::int64_t ky = 0; ky < kernel_h_; ++ky) {
          const float* row = x + (oy * stride_h_ + ky) * w;
          for (std::int64_t kx = 0; kx < kernel_w_; ++kx) merge(row + kx, y, out_w, ky == 0 && kx == 0);
        }
      }
    });
    return {};
  }

 private:
  void merge(const float* x, float* y, std::int64_t count, bool first) const {
    if (first) {
      for (std::int64_t i = 0; i < count; ++i) y[i] = x[i * stride_w_];
    } else {
      for (std::int64_t i = 0; i < count; ++i) y[i] = x[i * stride_w_] > y[i] ? x[i * stride_w_] : y[i];
    }
  }

  const Slot& x_;
  const Slot& y_;
  std::int64_t kernel_h_, kernel_w_, stride_h_, stride_w_;
};

bool all_are(const std::vector<std::int64_t>& values, std::int64_t v) {
  return std::all_of(values.begin(), values.end(), [v](std::int64_t x) { return x == v; });
}

std::unique_ptr<PreparedStep> make_max_pool(const PlanContext& plan, const Step& step) {
  const Node& node = step.node;
  const Slot &x = plan.slot(step.inputs[0]), &y = plan.slot(step.outputs[0]);
  const auto kernel = node.get_ints("kernel_shape"), strides = node.get_ints("strides", {1, 1});
  const std::string automatic = node.get_string("auto_pad", "NOTSET");
  const bool second_output = step.outputs.size() > 1 && step.outputs[1] >= 0;
  if (x.shape.size() != 4 || y.bytes == 0 || kernel.size() != 2 || strides.size() != 2 || second_output ||
      !all_are(node.get_ints("pads", {}), 0) || !all_are(node.get_ints("dilations", {}), 1) ||
      (automatic != "NOTSET" && automatic != "VALID"))
    return nullptr;
  // With ceil_mode the last window may reach beyond the image.
  if ((y.shape[2] - 1) * strides[0] + kernel[0] > x.shape[2] || (y.shape[3] - 1) * strides[1] + kernel[1] > x.shape[3])
    return nullptr;
  return std::make_unique<FloatMaxPool>(plan, step, kernel[0], kernel[1], strides[0], strides[1]);
}

}  // namespace

std::unique_ptr<PreparedStep> make_float_simple(const PlanContext& plan, const Step& step) {
  if (step.inputs.empty() || step.inputs[0] < 0 || step.outputs.empty() || step.outputs[0] < 0 ||
      plan.slot(step.inputs[0]).dtype != DType::f32)
    return nullptr;
  if (step.node.is("Relu")) return std::make_unique<FloatRelu>(plan, step);
  if (step.node.is("MaxPool")) return make_max_pool(plan, step);
  return nullptr;
}

}  // namespace nnq
