// LSTM, GRU and RNN (ONNX gate order and layouts; one or two directions): usual layers as one fused function, the
// others as plain differentiable steps.
#include <algorithm>

#include "train/fused_recurrent.h"
#include "train/torch_op.h"
#include "train/vector_quantizer.h"

namespace nnq::train {
namespace {

struct Cell {
  std::int64_t hidden = 0;
  bool linear_before_reset = false, input_forget = false;
  double clip = 0;
};

/// One time step: `gates` = x W^T + Wb [N, G * H]; updates h (and c).
using StepFunction = void (*)(const Cell&, const at::Tensor& gates, const at::Tensor& r, const at::Tensor& rb,
                              const at::Tensor& p, at::Tensor& h, at::Tensor& c);

at::Tensor clipped(const Cell& cell, const at::Tensor& x) {
  return cell.clip > 0 ? at::clamp(x, -cell.clip, cell.clip) : x;
}

/// Gates i, o, f, c; peepholes [3 * H] in the order i, o, f or undefined.
void lstm_step(const Cell& cell, const at::Tensor& gates, const at::Tensor& r, const at::Tensor& rb,
               const at::Tensor& p, at::Tensor& h, at::Tensor& c) {
  const std::int64_t n = cell.hidden;
  const at::Tensor sum = gates + at::addmm(rb, h, r.t());
  const auto gate = [&](std::int64_t k) { return sum.slice(1, k * n, (k + 1) * n); };
  const auto peephole = [&](std::int64_t k, const at::Tensor& state) {
    return p.defined() ? gate(k) + p.slice(0, k * n, (k + 1) * n) * state : gate(k);
  };
  const at::Tensor i = at::sigmoid(clipped(cell, peephole(0, c)));
  const at::Tensor f = cell.input_forget ? 1 - i : at::sigmoid(clipped(cell, peephole(2, c)));
  c = f * c + i * at::tanh(clipped(cell, gate(3)));
  h = at::sigmoid(clipped(cell, peephole(1, c))) * at::tanh(c);
}

/// Gates z, r, h.
void gru_step(const Cell& cell, const at::Tensor& gates, const at::Tensor& r, const at::Tensor& rb, const at::Tensor&,
              at::Tensor& h, at::Tensor&) {
  const std::int64_t n = cell.hidden;
  const auto of = [n](const at::Tensor& t, std::int64_t dim, std::int64_t from, std::int64_t to) {
    return t.slice(dim, from * n, to * n);
  };
  const at::Tensor zr = of(gates, 1, 0, 2) + at::addmm(of(rb, 0, 0, 2), h, of(r, 0, 0, 2).t());
  const at::Tensor z = at::sigmoid(clipped(cell, of(zr, 1, 0, 1))), reset = at::sigmoid(clipped(cell, of(zr, 1, 1, 2)));
  const at::Tensor recurrent = cell.linear_before_reset ? reset * at::addmm(of(rb, 0, 2, 3), h, of(r, 0, 2, 3).t())
                                                        : at::addmm(of(rb, 0, 2, 3), reset * h, of(r, 0, 2, 3).t());
  const at::Tensor candidate = at::tanh(clipped(cell, of(gates, 1, 2, 3) + recurrent));
  h = (1 - z) * candidate + z * h;
}

void rnn_step(const Cell& cell, const at::Tensor& gates, const at::Tensor& r, const at::Tensor& rb, const at::Tensor&,
              at::Tensor& h, at::Tensor&) {
  h = at::tanh(clipped(cell, gates + at::addmm(rb, h, r.t())));
}

/// Whether the fused functions compute this layer.
bool fuses(const Cell& cell, std::int64_t gates, bool peephole, const at::Tensor& x) {
  if (cell.clip > 0 || peephole || x.scalar_type() != at::kFloat || x.size(0) == 0) return false;
  return (gates == 4 && !cell.input_forget) || (gates == 3 && cell.linear_before_reset);
}

/// A fused layer over `x` [T, N, I], its biases [G H].
Sequence run_fused(std::int64_t gates, const at::Tensor& x, const at::Tensor& w, const at::Tensor& r,
                   const at::Tensor& wb, const at::Tensor& rb, const at::Tensor& h, const at::Tensor& c,
                   const StateQuantizer& quantize) {
  const at::Tensor rows = x.reshape({x.size(0) * x.size(1), x.size(2)});
  const at::Tensor bias = gates == 4 ? wb + rb : wb;
  const at::Tensor sums = at::addmm(bias, rows, w.t()).view({x.size(0), x.size(1), w.size(0)});
  return gates == 4 ? fused_lstm(sums, r, h, c, quantize) : fused_gru(sums, r, rb, h, quantize);
}

/// The on-line quantizer of an ai.nnq node's state; none for ONNX's own operators.
StateQuantizer state_quantizer(const Node& node) {
  return node.domain == kNnqDomain ? vector_quantizer(node, "state_") : StateQuantizer();
}

bool usual_activations(const Node& node, const std::vector<std::string>& expected, std::size_t directions) {
  const auto given = node.get<std::vector<std::string>>("activations", {});
  if (given.empty()) return true;
  if (given.size() != expected.size() * directions) return false;
  for (std::size_t i = 0; i < given.size(); ++i)
    if (given[i] != expected[i % expected.size()]) return false;
  return true;
}

Builder recurrent(std::int64_t gates, StepFunction step, std::vector<std::string> activations) {
  return [=](const Build& build) -> Kernel {
    const Node& node = build.node;
    const std::string direction = node.get_string("direction", "forward");
    const std::int64_t directions = direction == "bidirectional" ? 2 : 1;
    const bool lengths = build.has(4), batch_first = node.get_int("layout", 0) != 0, has_cell = gates == 4;
    if (lengths || !usual_activations(node, activations, static_cast<std::size_t>(directions))) return {};
    const std::int64_t hidden_attribute = node.get_int("hidden_size", 0);
    Cell cell{0, node.get_int("linear_before_reset", 0) != 0, node.get_int("input_forget", 0) != 0,
              node.get_float("clip", 0)};
    const StateQuantizer quantize = state_quantizer(node);
    return [=](const Args& args) {
      const at::Tensor x = batch_first ? args[0].transpose(0, 1) : args[0];
      NNQ_CHECK(x.dim() == 3 && args[1].dim() == 3 && args[2].dim() == 3 && args[1].size(0) == directions &&
                    args[2].size(0) == directions,
                "the input is [time, batch, features] and weights have one block a direction");
      Cell sized = cell;
      sized.hidden = args[2].size(2);
      NNQ_CHECK(hidden_attribute == 0 || hidden_attribute == sized.hidden,
                "hidden_size and the recurrent weight disagree");
      const std::int64_t time = x.size(0), batch = x.size(1), width = gates * sized.hidden;
      std::vector<at::Tensor> sequences, last_h, last_c;
      for (std::int64_t d = 0; d < directions; ++d) {
        const bool backward = direction == "reverse" || d == 1;
        const at::Tensor zero = at::zeros({width}, x.options());
        const at::Tensor wb = args.has(3) ? args[3][d].slice(0, 0, width) : zero;
        const at::Tensor rb = args.has(3) ? args[3][d].slice(0, width, 2 * width) : zero;
        const auto initial = [&](std::size_t i) {
          if (!args.has(i)) return at::zeros({batch, sized.hidden}, x.options());
          return batch_first ? args[i].select(1, d) : args[i][d];
        };
        at::Tensor h = initial(5), c = has_cell ? initial(6) : at::Tensor();
        const at::Tensor p = has_cell && args.has(7) ? args[7][d] : at::Tensor();
        if (!backward && fuses(sized, gates, p.defined(), x)) {
          const Sequence done = run_fused(gates, x, args[1][d], args[2][d], wb, rb, h, c, quantize);
          sequences.push_back(done.y);
          last_h.push_back(done.h);
          last_c.push_back(done.c);
          continue;
        }
        NNQ_CHECK(!quantize, "a quantized state needs a plain forward layer of float32");
        const at::Tensor all =
            at::addmm(wb, x.reshape({time * batch, x.size(2)}), args[1][d].t()).reshape({time, batch, width});
        std::vector<at::Tensor> steps(static_cast<std::size_t>(time));
        for (std::int64_t k = 0; k < time; ++k) {
          const std::int64_t t = backward ? time - 1 - k : k;
          step(sized, all[t], args[2][d], rb, p, h, c);
          steps[static_cast<std::size_t>(t)] = h;
        }
        sequences.push_back(time > 0 ? at::stack(steps) : at::zeros({0, batch, sized.hidden}, x.options()));
        last_h.push_back(h);
        last_c.push_back(c);
      }
      const at::Tensor y = directions == 1 ? sequences[0].unsqueeze(1) : at::stack(sequences, 1);  // [T, D, N, H]
      args.set(0, batch_first ? y.permute({2, 0, 1, 3}) : y);
      args.set(1, at::stack(last_h, batch_first ? 1 : 0));
      if (has_cell) args.set(2, at::stack(last_c, batch_first ? 1 : 0));
    };
  };
}

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(recurrent) {
  add("LSTM", recurrent(4, lstm_step, {"Sigmoid", "Tanh", "Tanh"}), "");
  add("GRU", recurrent(3, gru_step, {"Sigmoid", "Tanh"}), "");
  add("LSTM", recurrent(4, lstm_step, {"Sigmoid", "Tanh", "Tanh"}), kNnqDomain);
  add("GRU", recurrent(3, gru_step, {"Sigmoid", "Tanh"}), kNnqDomain);
  add("RNN", recurrent(1, rnn_step, {"Tanh"}), "");
}
