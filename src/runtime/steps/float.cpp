// Operators that stay float: matrix products on the float GEMM, what other files cover, everything else by its
// reference evaluation.
#include <algorithm>

#include "runtime/plan.h"
#include "runtime/steps/float_simple.h"

namespace nnq {
namespace {

constexpr std::int64_t width = panel_width;

/// Any operator: views over the slots, evaluated in place. Makes no memory of its own after planning.
class Reference final : public PreparedStep {
 public:
  Reference(const PlanContext& plan, const Step& step)
      : op_(*find_op(step.node.domain, step.node.op)), context_{step.node, step.opset, {}, {}, {}} {
    kernel = "reference";
    inputs_.reserve(step.inputs.size());
    outputs_.reserve(step.outputs.size());
    std::vector<ValueType> input_types, output_types;
    for (const std::int32_t v : step.inputs) input_types.push_back(bind(plan, v, inputs_, context_.inputs));
    for (const std::int32_t v : step.outputs) output_types.push_back(bind(plan, v, outputs_, context_.outputs));
    if (op_.scratch) scratch_bytes = op_.scratch(step.node, input_types);
    if (op_.macs) operations = 2 * op_.macs(step.node, input_types, output_types);
  }

  Status run(ThreadPool&) override {
    for (Bound& b : inputs_) b.view.data = b.slot->data;
    for (Bound& b : outputs_) b.view.data = b.slot->data;
    context_.scratch = {scratch, scratch_bytes};
    return op_.evaluate(context_);
  }

 private:
  struct Bound {
    const Slot* slot;
    TensorView view;
  };
  template <class List>
  static ValueType bind(const PlanContext& plan, std::int32_t v, std::vector<Bound>& bound, List& list) {
    if (v < 0) {
      list.push_back(nullptr);
      return {};
    }
    const Slot& slot = plan.slot(v);
    bound.push_back({&slot, {slot.dtype, slot.shape, nullptr}});
    list.push_back(&bound.back().view);
    return ValueType::of(slot.dtype, slot.shape);
  }

  const Op& op_;
  EvalContext context_;
  std::vector<Bound> inputs_, outputs_;
};

struct PackedFloats {
  PackedArray<float> values;
  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.values);
  }
};

/// x [rows, k] times constant weights, packed once in panels of 16 outputs.
class FloatDense final : public PreparedStep {
 public:
  /// weight(o, i) gives the element of output o, input i.
  template <class F>
  FloatDense(const PlanContext& plan, const Step& step, std::int64_t outputs, std::int64_t k, F&& weight)
      : x_(plan.slot(step.inputs[0])),
        y_(plan.slot(step.outputs[0])),
        gemm_(plan.kernels.real),
        twofold_(plan.before_quantizer(step.outputs[0]) ? plan.kernels.twofold : nullptr),
        k_(k),
        outputs_(outputs) {
    kernel = std::string("dense_") + (twofold_ != nullptr ? plan.kernels.double_name : plan.kernels.float_name);
    rows_ = k > 0 ? static_cast<std::int64_t>(x_.bytes / 4) / k : 0;
    panels_ = (outputs + width - 1) / width;
    operations = 2 * rows_ * outputs * k;
    ceiling = CeilingKind::real;
    const auto pack = [&] {
      auto packed = std::make_shared<PackedFloats>();
      packed->values.assign(static_cast<std::size_t>(panels_ * k * width), 0.0f);
      for (std::int64_t o = 0; o < outputs; ++o) {
        for (std::int64_t i = 0; i < k; ++i)
          packed->values[static_cast<std::size_t>((o / width * k + i) * width + o % width)] = weight(o, i);
      }
      return packed;
    };
    // Weights that a plan computed from its shapes are its own.
    packed_ = plan.program.constants.contains(step.inputs[1]) ? plan.shared<PackedFloats>(step, "dense", pack) : pack();
    bias_.assign(static_cast<std::size_t>(panels_ * width), 0.0);
    weight_bytes = packed_->values.size() * 4;
    scratch_bytes = static_cast<std::size_t>(panels_ * rows_ * width) * 4;
  }
  void set_bias(const Tensor& bias, float beta) {
    for (std::int64_t o = 0; o < outputs_; ++o)
      bias_[static_cast<std::size_t>(o)] = scaled(beta, bias.as<float>()[bias.count() == 1 ? 0 : o]);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(panels_, [this](std::int64_t p) {
      float* sums = reinterpret_cast<float*>(scratch) + p * rows_ * width;
      const float* panel = packed_->values.data() + p * k_ * width;
      const double* bias = bias_.data() + p * width;
      if (twofold_ != nullptr)
        twofold_(x_.as<float>(), rows_, k_, panel, nullptr, bias, sums, width);
      else
        gemm_({.w = x_.as<float>(),
               .row = k_,
               .outputs = rows_,
               .k = k_,
               .panels = panel,
               .panel_count = 1,
               .columns = width,
               .bias = nullptr,
               .add = false,
               .c = sums,
               .stride = width});
      const std::int64_t n = std::min(width, outputs_ - p * width);
      for (std::int64_t r = 0; r < rows_; ++r) {
        float* y = y_.as<float>() + r * outputs_ + p * width;
        for (std::int64_t o = 0; o < n; ++o)
          y[o] = twofold_ != nullptr ? sums[r * width + o] : sums[r * width + o] + static_cast<float>(bias[o]);
      }
    });
    return {};
  }

 private:
  /// In float as long as the sums are.
  double scaled(float beta, float bias) const {
    if (twofold_ != nullptr) return static_cast<double>(beta) * static_cast<double>(bias);
    return static_cast<double>(beta * bias);
  }

  const Slot& x_;
  const Slot& y_;
  FloatGemm gemm_;
  DoubleGemm twofold_;  // nullptr: sums are float
  std::int64_t k_, outputs_, rows_ = 0, panels_ = 0;
  std::shared_ptr<const PackedFloats> packed_;
  std::vector<double> bias_;
};

bool all_float(const PlanContext& plan, const Step& step) {
  return std::all_of(step.inputs.begin(), step.inputs.end(),
                     [&](std::int32_t v) { return v < 0 || plan.slot(v).dtype == DType::f32; });
}

std::unique_ptr<PreparedStep> make_dense(const PlanContext& plan, const Step& step) {
  const Slot &x = plan.slot(step.inputs[0]), &w = plan.slot(step.inputs[1]);
  if (w.constant == nullptr || w.shape.size() != 2 || x.shape.empty() || w.bytes == 0) return nullptr;
  const Node& node = step.node;
  const bool gemm = node.is("Gemm"), turned = gemm && node.get_int("transB", 0) != 0;
  if (gemm && node.get_int("transA", 0) != 0) return nullptr;
  const std::int64_t outputs = w.shape[turned ? 0 : 1], k = w.shape[turned ? 1 : 0];
  const Tensor* bias = nullptr;
  if (step.inputs.size() > 2 && step.inputs[2] >= 0) {
    bias = plan.slot(step.inputs[2]).constant;
    if (bias == nullptr || (bias->count() != 1 && (bias->count() != outputs || bias->shape().back() != outputs)))
      return nullptr;
  }
  const float alpha = gemm ? node.get_float("alpha", 1.0f) : 1.0f;
  if (alpha != 1 && plan.before_quantizer(step.outputs[0])) return nullptr;  // a rounding more in front of a quantizer
  const float* values = w.constant->as<float>();
  auto made = std::make_unique<FloatDense>(plan, step, outputs, k, [&](std::int64_t o, std::int64_t i) {
    return alpha * values[turned ? o * k + i : i * outputs + o];
  });
  if (bias != nullptr) made->set_bias(*bias, node.get_float("beta", 1.0f));
  return made;
}

}  // namespace

std::unique_ptr<PreparedStep> make_float(const PlanContext& plan, const Step& step) {
  std::unique_ptr<PreparedStep> made;
  const bool products = step.inputs.size() >= 2 && step.inputs[0] >= 0 && step.inputs[1] >= 0 && all_float(plan, step);
  if (products && step.node.is("Conv")) made = make_float_convolution(plan, step);
  if (products && (step.node.is("Gemm") || step.node.is("MatMul"))) made = make_dense(plan, step);
  if (products) made = made == nullptr ? make_float_recurrent(plan, step) : std::move(made);
  if (made == nullptr) made = make_float_simple(plan, step);
  if (made == nullptr) made = std::make_unique<Reference>(plan, step);
  return made;
}

}  // namespace nnq
