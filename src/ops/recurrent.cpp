// LSTM, GRU and RNN: directions, initial states, peepholes, sequence lengths, activations, clip, layout. Weights and
// states are double while a sequence runs; outputs are rounded once.
#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

#include "ops/support/check.h"
#include "ops/support/multiply.h"
#include "ops/support/vector_attributes.h"

namespace nnq::ops {
namespace {

enum class Cell { rnn, gru, lstm };

Cell cell_of(const Node& node) { return node.op == "LSTM" ? Cell::lstm : (node.op == "GRU" ? Cell::gru : Cell::rnn); }
std::int64_t gates_of(Cell c) { return c == Cell::lstm ? 4 : (c == Cell::gru ? 3 : 1); }
std::size_t activations_of(Cell c) { return c == Cell::lstm ? 3 : (c == Cell::gru ? 2 : 1); }

// ---- activations

enum class Function {
  relu,
  tanh,
  sigmoid,
  affine,
  leaky_relu,
  thresholded_relu,
  scaled_tanh,
  hard_sigmoid,
  elu,
  softsign,
  softplus
};

struct Activation {
  Function function = Function::tanh;
  double alpha = 0, beta = 0;

  double operator()(double x) const {
    switch (function) {
      case Function::relu:
        return x > 0 ? x : 0;
      case Function::tanh:
        return std::tanh(x);
      case Function::sigmoid:
        return 1 / (1 + std::exp(-x));
      case Function::affine:
        return alpha * x + beta;
      case Function::leaky_relu:
        return x >= 0 ? x : alpha * x;
      case Function::thresholded_relu:
        return x > alpha ? x : 0;
      case Function::scaled_tanh:
        return alpha * std::tanh(beta * x);
      case Function::hard_sigmoid:
        return std::clamp(alpha * x + beta, 0.0, 1.0);
      case Function::elu:
        return x >= 0 ? x : alpha * std::expm1(x);
      case Function::softsign:
        return x / (1 + std::abs(x));
      case Function::softplus:
        return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
    }
    return x;
  }
};

struct Known {
  const char* name;
  Function function;
  bool has_alpha, has_beta;
  double alpha, beta;  // ONNX's defaults
};

constexpr std::array<Known, 11> kKnown{{{"relu", Function::relu, false, false, 0, 0},
                                        {"tanh", Function::tanh, false, false, 0, 0},
                                        {"sigmoid", Function::sigmoid, false, false, 0, 0},
                                        {"affine", Function::affine, true, true, 1, 0},
                                        {"leakyrelu", Function::leaky_relu, true, false, 0.01, 0},
                                        {"thresholdedrelu", Function::thresholded_relu, true, false, 1, 0},
                                        {"scaledtanh", Function::scaled_tanh, true, true, 1, 1},
                                        {"hardsigmoid", Function::hard_sigmoid, true, true, 0.2, 0.5},
                                        {"elu", Function::elu, true, false, 1, 0},
                                        {"softsign", Function::softsign, false, false, 0, 0},
                                        {"softplus", Function::softplus, false, false, 0, 0}}};

/// Activations of every direction, one after the other. Alphas and betas are consumed by those that take one.
Status read_activations(const Node& node, Cell cell, std::size_t directions, std::vector<Activation>& out) {
  const std::size_t each = activations_of(cell);
  auto names = node.get<std::vector<std::string>>("activations", {});
  if (names.empty()) {
    for (std::size_t d = 0; d < directions; ++d) {
      if (cell != Cell::rnn) names.emplace_back("Sigmoid");
      for (std::size_t i = cell == Cell::rnn ? 0 : 1; i < each; ++i) names.emplace_back("Tanh");
    }
  }
  NNQ_REQUIRE(names.size() == each * directions, title(node), ": ", names.size(), " activations given, expected ",
              each * directions);
  const auto alphas = node.get<std::vector<float>>("activation_alpha", {}),
             betas = node.get<std::vector<float>>("activation_beta", {});
  std::size_t alpha = 0, beta = 0;
  for (std::string& name : names) {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto it = std::find_if(kKnown.begin(), kKnown.end(), [&](const Known& k) { return name == k.name; });
    NNQ_REQUIRE(it != kKnown.end(), title(node), ": unknown activation ", name);
    Activation a{it->function, it->alpha, it->beta};
    if (it->has_alpha && alpha < alphas.size()) a.alpha = static_cast<double>(alphas[alpha++]);
    if (it->has_beta && beta < betas.size()) a.beta = static_cast<double>(betas[beta++]);
    out.push_back(a);
  }
  return {};
}

// ---- shapes

Status direction_count(const Node& node, std::int64_t& out) {
  const std::string direction = node.get_string("direction", "forward");
  NNQ_REQUIRE(direction == "forward" || direction == "reverse" || direction == "bidirectional", title(node),
              ": unknown direction ", direction);
  out = direction == "bidirectional" ? 2 : 1;
  return {};
}

/// Input i must have these dims; known ones agree and free ones are learned from it.
Status match(const InferContext& ctx, std::size_t i, std::initializer_list<Dim*> dims) {
  if (!ctx.has(i) || !ctx.input(i).ranked) return {};
  const SymbolicShape& shape = ctx.input(i).shape;
  NNQ_REQUIRE(shape.size() == dims.size(), title(ctx.node), ": input ", i, " must have rank ", dims.size(), ", got ",
              ctx.input(i).to_string());
  std::size_t k = 0;
  for (Dim* d : dims) NNQ_TRY(unify(ctx.node, text("dimensions of input ", i).c_str(), *d, shape[k++], *d));
  return {};
}

/// Attributes of a quantized state, which only plain forward layers have (docs/quantized-graph.md).
Status check_state(const InferContext& ctx) {
  const Node& node = ctx.node;
  if (node.domain != kNnqDomain) return {};
  NNQ_REQUIRE(node.get_string("direction", "forward") == "forward" && node.get_int("layout", 0) == 0 &&
                  !node.has("activations") && !node.has("clip") && node.get_int("input_forget", 0) == 0 &&
                  !ctx.has(4) && !ctx.has(7) && (node.op != "GRU" || node.get_int("linear_before_reset", 0) == 1),
              title(node), ": a quantized state needs a plain forward layer: no peepholes, lengths, clip or other ",
              "activations, layout 0, and a GRU with linear_before_reset = 1");
  VectorCode code;
  return read_vector_code(node, "state_", code);
}

Status infer_recurrent(InferContext& ctx) {
  const Node& node = ctx.node;
  const Cell cell = cell_of(node);
  std::int64_t directions = 0;
  NNQ_TRY(direction_count(node, directions));
  std::vector<Activation> activations;
  NNQ_TRY(read_activations(node, cell, static_cast<std::size_t>(directions), activations));
  NNQ_TRY(check_state(ctx));
  const std::int64_t layout = node.get_int("layout", 0);
  NNQ_REQUIRE(layout == 0 || layout == 1, title(node), ": layout must be 0 or 1, got ", layout);
  NNQ_REQUIRE(!node.has("clip") || node.get_float("clip", 0) >= 0, title(node), ": clip must not be negative");
  Dim time, batch, in, hidden, d(directions);
  if (node.has("hidden_size")) {
    const std::int64_t size = node.get_int("hidden_size", 0);
    NNQ_REQUIRE(size >= 1 && size < (1 << 28), title(node), ": hidden_size ", size, " is out of range");
    hidden = Dim(size);
  }
  NNQ_TRY(layout == 0 ? match(ctx, 0, {&time, &batch, &in}) : match(ctx, 0, {&batch, &time, &in}));
  Dim stacked;
  NNQ_TRY(match(ctx, 2, {&d, &stacked, &hidden}));
  Dim rows = hidden.known() ? Dim(hidden.value * gates_of(cell)) : Dim();
  NNQ_REQUIRE(!rows.known() || (hidden.value >= 1 && hidden.value < (1 << 28)), title(node), ": hidden size ",
              hidden.value, " is out of range");
  NNQ_TRY(unify(node, "gates times hidden size", rows, stacked, rows));
  NNQ_TRY(match(ctx, 1, {&d, &rows, &in}));
  Dim biases = rows.known() ? Dim(2 * rows.value) : Dim();
  NNQ_TRY(match(ctx, 3, {&d, &biases}));
  NNQ_TRY(match(ctx, 4, {&batch}));
  for (std::size_t i = 5; i < (cell == Cell::lstm ? 7U : 6U); ++i) {
    NNQ_TRY(layout == 0 ? match(ctx, i, {&d, &batch, &hidden}) : match(ctx, i, {&batch, &d, &hidden}));
  }
  Dim peepholes = hidden.known() ? Dim(3 * hidden.value) : Dim();
  NNQ_TRY(match(ctx, 7, {&d, &peepholes}));
  const DType type = ctx.input(0).dtype;
  const SymbolicShape y = layout == 0 ? SymbolicShape{time, d, batch, hidden} : SymbolicShape{batch, time, d, hidden};
  const SymbolicShape state = layout == 0 ? SymbolicShape{d, batch, hidden} : SymbolicShape{batch, d, hidden};
  set_output(ctx, 0, ranked(type, y));
  set_output(ctx, 1, ranked(type, state));
  set_output(ctx, 2, ranked(type, state));
  return {};
}

// ---- one direction of one cell

struct Layer {
  Cell cell = Cell::rnn;
  std::int64_t in = 0, hidden = 0;
  const Activation* act = nullptr;  // f, g, h
  double clip = 0;                  // 0: none
  bool linear_before_reset = false, couple = false;
  // Doubles in the workspace.
  double *w = nullptr, *r = nullptr, *bias_w = nullptr, *bias_r = nullptr, *peephole = nullptr;
  double *x = nullptr, *h = nullptr, *c = nullptr, *gate = nullptr, *reset = nullptr;
  double* seen = nullptr;  // the state as products and outputs see it: h itself where it is not quantized
  bool quantizes = false;
  VectorCode state_code;
  float* floats = nullptr;  // the state and its levels, 2 hidden
  std::uint8_t* codes = nullptr;

  double limited(double v) const { return clip > 0 ? std::clamp(v, -clip, clip) : v; }
  double from_input(std::int64_t row) const { return dot(w + row * in, x, in) + bias_w[row]; }
  double from_state(std::int64_t row, const double* state) const {
    return dot(r + row * hidden, state, hidden) + bias_r[row];
  }

  void step_rnn() const {
    for (std::int64_t i = 0; i < hidden; ++i) gate[i] = act[0](limited(from_input(i) + from_state(i, seen)));
    std::copy_n(gate, hidden, h);
  }

  void step_gru() const {  // gates z, r, h
    for (std::int64_t i = 0; i < 2 * hidden; ++i) gate[i] = act[0](limited(from_input(i) + from_state(i, seen)));
    const double* update = gate;
    for (std::int64_t i = 0; i < hidden; ++i) reset[i] = gate[hidden + i] * seen[i];
    for (std::int64_t i = 0; i < hidden; ++i) {
      const std::int64_t row = 2 * hidden + i;
      const double recurrent = linear_before_reset ? gate[hidden + i] * from_state(row, seen) : from_state(row, reset);
      gate[row] = act[1](limited(from_input(row) + recurrent));
    }
    for (std::int64_t i = 0; i < hidden; ++i) h[i] = (1 - update[i]) * gate[2 * hidden + i] + update[i] * h[i];
  }

  void step_lstm() const {  // gates i, o, f, c; peepholes i, o, f
    for (std::int64_t i = 0; i < 4 * hidden; ++i) gate[i] = from_input(i) + from_state(i, seen);
    for (std::int64_t i = 0; i < hidden; ++i) {
      const double input = act[0](limited(gate[i] + peephole[i] * c[i]));
      const double forget =
          couple ? 1 - input : act[0](limited(gate[2 * hidden + i] + peephole[2 * hidden + i] * c[i]));
      c[i] = forget * c[i] + input * act[1](limited(gate[3 * hidden + i]));
      h[i] = act[0](limited(gate[hidden + i] + peephole[hidden + i] * c[i])) * act[2](c[i]);
    }
  }

  /// seen = h as the state's code has it.
  void quantize_state() const {
    if (!quantizes) return;
    std::array<float, multibit::kMaxBits> alpha{};
    for (std::int64_t i = 0; i < hidden; ++i) floats[i] = static_cast<float>(h[i]);
    quantize_vector(state_code, floats, hidden, alpha.data(), codes, floats + hidden);
    for (std::int64_t i = 0; i < hidden; ++i) seen[i] = static_cast<double>(floats[hidden + i]);
  }

  void step() const {
    if (cell == Cell::lstm)
      step_lstm();
    else if (cell == Cell::gru)
      step_gru();
    else
      step_rnn();
    quantize_state();
  }
};

struct Sizes {
  std::int64_t time = 0, batch = 0, in = 0, hidden = 0, gates = 0, directions = 1;
  bool batch_first = false;
  /// Of the workspace: behind the layer's own, the seen state, two float vectors and the codes take 3 hidden at most.
  std::size_t doubles() const { return static_cast<std::size_t>(gates * hidden * (in + hidden + 3) + in + 9 * hidden); }
};

Status lay_out(const EvalContext& ctx, const Sizes& s, std::int64_t d, double* memory, Layer& l) {
  const std::int64_t rows = s.gates * s.hidden;
  l.cell = cell_of(ctx.node);
  l.in = s.in;
  l.hidden = s.hidden;
  const auto take = [&](std::int64_t n) {
    double* p = memory;
    memory += n;
    return p;
  };
  l.w = take(rows * s.in);
  l.r = take(rows * s.hidden);
  l.bias_w = take(rows);
  l.bias_r = take(rows);
  l.gate = take(rows);
  l.peephole = take(3 * s.hidden);
  l.x = take(s.in);
  l.h = take(s.hidden);
  l.c = take(s.hidden);
  l.reset = take(s.hidden);
  l.seen = l.h;
  if (ctx.node.domain == kNnqDomain) {
    NNQ_TRY(read_vector_code(ctx.node, "state_", l.state_code));
    l.quantizes = true;
    l.seen = take(s.hidden);
    l.floats = reinterpret_cast<float*>(take(s.hidden));
    l.codes = reinterpret_cast<std::uint8_t*>(take(s.hidden));
  }
  const auto fill_from = [&](std::size_t i, std::int64_t offset, std::int64_t count, double* out) {
    if (ctx.has(i))
      load_doubles(ctx.input(i).dtype, ctx.input(i).data, offset, 1, count, out, 1);
    else
      std::fill_n(out, count, 0.0);
  };
  fill_from(1, d * rows * s.in, rows * s.in, l.w);
  fill_from(2, d * rows * s.hidden, rows * s.hidden, l.r);
  fill_from(3, d * 2 * rows, rows, l.bias_w);
  fill_from(3, d * 2 * rows + rows, rows, l.bias_r);
  fill_from(7, d * 3 * s.hidden, 3 * s.hidden, l.peephole);
  l.clip = static_cast<double>(ctx.node.get_float("clip", 0));
  l.linear_before_reset = ctx.node.get_int("linear_before_reset", 0) != 0;
  l.couple = ctx.node.get_int("input_forget", 0) != 0;
  return {};
}

const TensorView* wanted(const EvalContext& ctx, std::size_t i) {
  return i < ctx.outputs.size() ? ctx.outputs[i] : nullptr;
}

/// One sequence of one direction: steps through `length` inputs and writes its rows of the outputs.
void run_sequence(const EvalContext& ctx, const Sizes& s, const Layer& l, std::int64_t d, std::int64_t b,
                  std::int64_t length, bool reverse) {
  const auto state_row = [&] { return (s.batch_first ? b * s.directions + d : d * s.batch + b) * s.hidden; };
  const auto start = [&](std::size_t i, double* out) {
    if (ctx.has(i))
      load_doubles(ctx.input(i).dtype, ctx.input(i).data, state_row(), 1, s.hidden, out, 1);
    else
      std::fill_n(out, s.hidden, 0.0);
  };
  start(5, l.h);
  start(l.cell == Cell::lstm ? 6 : 99, l.c);
  l.quantize_state();
  const TensorView* y = wanted(ctx, 0);
  const auto y_row = [&](std::int64_t t) {
    return (s.batch_first ? (b * s.time + t) * s.directions + d : (t * s.directions + d) * s.batch + b) * s.hidden;
  };
  for (std::int64_t k = 0; k < length; ++k) {
    const std::int64_t t = reverse ? length - 1 - k : k;
    load_doubles(ctx.input(0).dtype, ctx.input(0).data, (s.batch_first ? b * s.time + t : t * s.batch + b) * s.in, 1,
                 s.in, l.x, 1);
    l.step();
    if (y != nullptr) store<double>(y->dtype, y->data, y_row(t), s.hidden, l.seen);
  }
  if (const TensorView* h = wanted(ctx, 1)) store<double>(h->dtype, h->data, state_row(), s.hidden, l.h);
  if (const TensorView* c = wanted(ctx, 2)) store<double>(c->dtype, c->data, state_row(), s.hidden, l.c);
  if (y == nullptr) return;
  std::fill_n(l.h, s.hidden, 0.0);  // outputs past the end of a sequence are 0
  for (std::int64_t t = length; t < s.time; ++t) store<double>(y->dtype, y->data, y_row(t), s.hidden, l.h);
}

Status evaluate_recurrent(EvalContext& ctx) {
  const Cell cell = cell_of(ctx.node);
  const Shape& x = ctx.input(0).shape;
  Sizes s;
  NNQ_TRY(direction_count(ctx.node, s.directions));
  s.batch_first = ctx.node.get_int("layout", 0) != 0;
  s.time = x[s.batch_first ? 1 : 0];
  s.batch = x[s.batch_first ? 0 : 1];
  s.in = x[2];
  s.hidden = ctx.input(2).shape[2];
  s.gates = gates_of(cell);
  std::vector<Activation> activations;
  NNQ_TRY(read_activations(ctx.node, cell, static_cast<std::size_t>(s.directions), activations));
  const Workspace work(ctx.scratch, s.doubles() * sizeof(double));
  const bool reverse = ctx.node.get_string("direction", "forward") == "reverse";
  for (std::int64_t d = 0; d < s.directions; ++d) {
    Layer layer;
    NNQ_TRY(lay_out(ctx, s, d, work.as<double>(), layer));
    layer.act = activations.data() + static_cast<std::size_t>(d) * activations_of(cell);
    for (std::int64_t b = 0; b < s.batch; ++b) {
      const std::int64_t length = ctx.has(4) ? at<std::int64_t>(ctx.input(4), b) : s.time;
      NNQ_REQUIRE(length >= 0 && length <= s.time, title(ctx.node), ": sequence length ", length, " is outside [0, ",
                  s.time, "]");
      run_sequence(ctx, s, layer, d, b, length, reverse || d == 1);
    }
  }
  return {};
}

std::int64_t recurrent_macs(const Node& node, std::span<const ValueType> in, std::span<const ValueType>) {
  // Every weight once for each time step of each sequence (both are dims 0 and 1 of X, in either layout).
  const SymbolicShape &x = in[0].shape, &w = in[1].shape, &r = in[2].shape;
  (void)node;
  return x[0].value * x[1].value * w[0].value * w[1].value * (w[2].value + r[2].value);
}

std::size_t recurrent_scratch(const Node& node, std::span<const ValueType> in) {
  Sizes s;
  s.in = in[0].shape[2].value;
  s.hidden = in[2].shape[2].value;
  s.gates = gates_of(cell_of(node));
  return s.doubles() * sizeof(double);
}

}  // namespace
}  // namespace nnq::ops

NNQ_OPS(recurrent) {
  const Formal value{kFloat, false, 0}, state{kFloat, true, 0}, lengths{only(DType::i32), true};
  const char* attributes =
      "activations:S activation_alpha:F activation_beta:F clip:f direction:s hidden_size:i layout:i "
      "linear_before_reset:i input_forget:i state_bits:i state_cycles:i state_uniform:i";
  const auto recurrent = [&](const char* domain, const char* name, std::vector<Formal> inputs, std::size_t outputs) {
    Op op = define(name, {.inputs = std::move(inputs), .max_outputs = outputs, .attributes = attributes},
                   infer_recurrent, evaluate_recurrent);
    op.domain = domain;
    op.macs = recurrent_macs;
    op.scratch = recurrent_scratch;
    add(std::move(op));
  };
  recurrent("", "RNN", {value, value, value, state, lengths, state}, 2);
  for (const char* domain : {"", kNnqDomain}) {
    recurrent(domain, "GRU", {value, value, value, state, lengths, state}, 2);
    recurrent(domain, "LSTM", {value, value, value, state, lengths, state, state, state}, 3);
  }
}
