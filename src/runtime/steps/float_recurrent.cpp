// LSTM and GRU of float32 with the usual activations: matrix-vector products on the weights as they lie, gates and cell
// in the loops of kernels/recurrent. A state that is quantized on line while the input stays float (ai.nnq) runs here,
// too.
#include <algorithm>

#include "kernels/aligned.h"
#include "kernels/real_matvec/real_matvec.h"
#include "kernels/recurrent/recurrent.h"
#include "ops/support/vector_attributes.h"
#include "runtime/steps/float_simple.h"

namespace nnq {
namespace {

class FloatRecurrent final : public PreparedStep {
 public:
  FloatRecurrent(const PlanContext& plan, const Step& step, const VectorCode* code)
      : x_(plan.slot(step.inputs[0])),
        w_(plan.slot(step.inputs[1])),
        r_(plan.slot(step.inputs[2])),
        bias_(slot_of(plan, step.inputs, 3)),
        h_in_(slot_of(plan, step.inputs, 5)),
        c_in_(slot_of(plan, step.inputs, 6)),
        y_(slot_of(plan, step.outputs, 0)),
        h_out_(slot_of(plan, step.outputs, 1)),
        c_out_(slot_of(plan, step.outputs, 2)),
        product_(real_matvec_kernel(plan.isa)),
        lstm_(step.node.op == "LSTM"),
        quantizes_(code != nullptr),
        reverse_(step.node.get_string("direction", "forward") == "reverse"),
        time_(x_.shape[0]),
        batch_(x_.shape[1]),
        inputs_(x_.shape[2]),
        directions_(w_.shape[0]),
        rows_(w_.shape[1]),
        hidden_(r_.shape[2]) {
    if (quantizes_) code_ = *code;
    kernel = std::string(lstm_ ? "lstm_" : "gru_") + product_.name;
    operations = 2 * time_ * batch_ * directions_ * rows_ * (inputs_ + hidden_);
    ceiling = CeilingKind::real;
    weight_bytes = static_cast<std::int64_t>(w_.bytes + r_.bytes);
    parts_ = plan.threads == 1 || weight_bytes < 1 << 16 ? 1 : std::min<std::int64_t>(plan.threads, rows_);
    ahead_ = std::clamp<std::int64_t>(16 / std::max<std::int64_t>(batch_, 1), 1, std::max<std::int64_t>(time_, 1));
    lay_out();
  }

  Status run(ThreadPool& pool) override {
    for (std::int64_t d = 0; d < directions_; ++d) direction(pool, d);
    return {};
  }

 private:
  static const Slot* slot_of(const PlanContext& plan, const std::vector<std::int32_t>& values, std::size_t i) {
    return i < values.size() && values[i] >= 0 ? &plan.slot(values[i]) : nullptr;
  }
  template <class T = float>
  T* of(std::size_t at) const {
    return reinterpret_cast<T*>(scratch + at);
  }

  void lay_out() {
    const auto take = [this](std::int64_t count) {
      const std::size_t at = scratch_bytes;
      scratch_bytes += whole_lines(static_cast<std::size_t>(count) * 4);
      return at;
    };
    h_at_ = take(batch_ * hidden_);
    c_at_ = take(batch_ * hidden_);
    seen_at_ = take(batch_ * hidden_);
    codes_at_ = take(hidden_);
    input_sums_at_ = take(ahead_ * batch_ * rows_);
    state_sums_at_ = take(batch_ * rows_);
    bias_at_ = take(rows_);
  }

  void direction(ThreadPool& pool, std::int64_t d) const {
    const std::int64_t state = batch_ * hidden_;
    start(h_in_, d * state, of(h_at_));
    start(c_in_, d * state, of(c_at_));
    see();
    const float* const bias = input_bias(d);
    const bool backward = reverse_ || d == 1;
    for (std::int64_t first = 0; first < time_; first += ahead_) {
      const std::int64_t steps = std::min(ahead_, time_ - first), from = backward ? time_ - first - steps : first;
      products(pool, w_.as<float>() + d * rows_ * inputs_, inputs_, x_.as<float>() + from * batch_ * inputs_,
               steps * batch_, bias, of(input_sums_at_));
      for (std::int64_t k = 0; k < steps; ++k) time_step(pool, d, from, backward ? steps - 1 - k : k);
    }
    if (h_out_ != nullptr) std::copy_n(of(h_at_), state, h_out_->as<float>() + d * state);
    if (c_out_ != nullptr) std::copy_n(of(c_at_), state, c_out_->as<float>() + d * state);
  }

  void start(const Slot* from, std::int64_t at, float* to) const {
    if (from != nullptr)
      std::copy_n(from->as<float>() + at, batch_ * hidden_, to);
    else
      std::fill_n(to, batch_ * hidden_, 0.0F);
  }

  /// The state as products and outputs see it.
  void see() const {
    if (!quantizes_) return;
    float scales[multibit::kMaxBits];
    for (std::int64_t b = 0; b < batch_; ++b)
      quantize_vector(code_, of(h_at_) + b * hidden_, hidden_, scales, of<std::uint8_t>(codes_at_),
                      of(seen_at_) + b * hidden_);
  }
  const float* seen() const { return of(quantizes_ ? seen_at_ : h_at_); }

  /// An LSTM has both biases in its input's sums.
  const float* input_bias(std::int64_t d) const {
    if (bias_ == nullptr) return nullptr;
    const float* const both = bias_->as<float>() + d * 2 * rows_;
    if (!lstm_) return both;
    for (std::int64_t o = 0; o < rows_; ++o) of(bias_at_)[o] = both[o] + both[rows_ + o];
    return of(bias_at_);
  }

  void products(ThreadPool& pool, const float* w, std::int64_t inputs, const float* x, std::int64_t count,
                const float* bias, float* y) const {
    pool.parallel(parts_, [&](std::int64_t part) {
      const std::int64_t first = rows_ * part / parts_, end = rows_ * (part + 1) / parts_;
      product_.run({w + first * inputs, end - first, inputs, x, count, bias == nullptr ? nullptr : bias + first,
                    y + first, rows_});
    });
  }

  void time_step(ThreadPool& pool, std::int64_t d, std::int64_t first, std::int64_t ahead) const {
    const float* const bias = lstm_ || bias_ == nullptr ? nullptr : bias_->as<float>() + d * 2 * rows_ + rows_;
    products(pool, r_.as<float>() + d * rows_ * hidden_, hidden_, seen(), batch_, bias, of(state_sums_at_));
    for (std::int64_t b = 0; b < batch_; ++b) {
      const float* const input = of(input_sums_at_) + (ahead * batch_ + b) * rows_;
      const float* const state = of(state_sums_at_) + b * rows_;
      float* const h = of(h_at_) + b * hidden_;
      if (lstm_)
        lstm_cell(input, state, of(c_at_) + b * hidden_, h, hidden_);
      else
        gru_cell(input, state, h, hidden_);
    }
    see();
    if (y_ != nullptr)
      std::copy_n(seen(), batch_ * hidden_, y_->as<float>() + ((first + ahead) * directions_ + d) * batch_ * hidden_);
  }

  const Slot &x_, &w_, &r_;
  const Slot *bias_, *h_in_, *c_in_, *y_, *h_out_, *c_out_;
  const RealMatvec& product_;
  bool lstm_, quantizes_, reverse_;
  VectorCode code_;
  std::int64_t time_, batch_, inputs_, directions_, rows_, hidden_, ahead_ = 1, parts_ = 1;
  std::size_t h_at_ = 0, c_at_ = 0, seen_at_ = 0, codes_at_ = 0, input_sums_at_ = 0, state_sums_at_ = 0, bias_at_ = 0;
};

/// The activations that the loops compute.
bool usual_activations(const Node& node, std::int64_t directions) {
  const auto given = node.get<std::vector<std::string>>("activations", {});
  const std::vector<std::string> usual = node.op == "LSTM" ? std::vector<std::string>{"Sigmoid", "Tanh", "Tanh"}
                                                           : std::vector<std::string>{"Sigmoid", "Tanh"};
  if (given.empty()) return true;
  if (given.size() != usual.size() * static_cast<std::size_t>(directions)) return false;
  for (std::size_t i = 0; i < given.size(); ++i)
    if (given[i] != usual[i % usual.size()]) return false;
  return true;
}

}  // namespace

std::unique_ptr<PreparedStep> make_float_recurrent(const PlanContext& plan, const Step& step) {
  const Node& node = step.node;
  const bool own = node.domain == kNnqDomain;
  if ((!own && !node.domain.empty()) || (node.op != "LSTM" && node.op != "GRU")) return nullptr;
  const auto has = [&](std::size_t i) { return i < step.inputs.size() && step.inputs[i] >= 0; };
  for (const std::size_t i : {0U, 1U, 2U, 3U, 5U, 6U})
    if (has(i) && plan.slot(step.inputs[i]).dtype != DType::f32) return nullptr;
  const Slot& w = plan.slot(step.inputs[1]);
  if (has(4) || has(7) || node.has("clip") || node.get_int("layout", 0) != 0 || node.get_int("input_forget", 0) != 0 ||
      (node.op == "GRU" && node.get_int("linear_before_reset", 0) == 0) || !usual_activations(node, w.shape[0]))
    return nullptr;
  VectorCode code;
  if (own && !ops::read_vector_code(node, "state_", code).ok()) return nullptr;
  return std::make_unique<FloatRecurrent>(plan, step, own ? &code : nullptr);
}

}  // namespace nnq
