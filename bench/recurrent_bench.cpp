// One time step of an LSTM on multi-bit vectors, through a session, batch 1: beside OpenBLAS's sgemv on the same
// matrices in float (without gates), and the on-line quantization of the state alone. Interleaved rounds in one run.
//   taskset -c 1 build/release/bin/bench_recurrent [rounds]
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <vector>

#include "core/random.h"
#include "kernels/cpu.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "pack/multibit.h"
#include "timing.h"

namespace {

using namespace nnq;
using namespace nnq::bench;

struct Form {
  int layers;
  std::int64_t hidden;
  int weight_bits, state_bits;
};

/// Random signs and scales of a matrix.
void fill(Random& random, std::int64_t rows, std::int64_t columns, int bits, PackedWeights& w, RealPlanes& p) {
  std::vector<std::uint8_t> planes(static_cast<std::size_t>((rows * columns + 7) / 8 * bits));
  for (std::uint8_t& byte : planes) byte = static_cast<std::uint8_t>(random.next());
  w.bits = bits;
  w.count = rows * columns;
  w.owned = std::make_shared<const std::vector<std::uint8_t>>(std::move(planes));
  w.data = w.owned->data();
  p.weight_signs = true;
  for (std::int64_t i = 0; i < rows * bits; ++i) p.weight_scale.push_back(random.uniform(0.01F, 0.05F));
}

/// tokens -> table -> layers; state and cell are inputs and outputs.
Program lstm(const Form& f) {
  Random random(1);
  Program p;
  const auto tensor = [&](DType type, const Shape& shape) {
    return p.add_value({"", ValueKind::tensor, ValueType::of(type, shape), {}});
  };
  const auto vectors = [&](int bits) {
    const CodeType code{.sign = false, .min = 0, .max = (1 << bits) - 1, .bits = bits};
    const std::int32_t codes = p.add_value({"", ValueKind::codes, ValueType::of(DType::f32, {1, 1, f.hidden}), code});
    tensor(DType::f32, {1, 1, bits});
    return codes;
  };
  p.inputs = {tensor(DType::i64, {1, 1})};
  std::int32_t x = vectors(f.weight_bits);
  Step look;
  look.kind = StepKind::vector_lookup;
  look.inputs = p.inputs, look.outputs = {x, x + 1};
  look.out_channels = 100, look.in_channels = f.hidden;
  fill(random, 100, f.hidden, f.weight_bits, look.weights, look.planes);
  p.steps.push_back(look);
  for (int layer = 0; layer < f.layers; ++layer) {
    Step s;
    s.kind = StepKind::recurrent;
    const std::int32_t y = vectors(f.state_bits);
    s.inputs = {x, x + 1}, s.outputs = {y, y + 1};
    for (int i = 0; i < 2; ++i) {
      s.inputs.push_back(tensor(DType::f32, {1, 1, f.hidden}));
      s.outputs.push_back(tensor(DType::f32, {1, 1, f.hidden}));
      p.inputs.push_back(s.inputs.back());
      p.outputs.push_back(s.outputs.back());
    }
    Recurrence& r = s.recurrence;
    r.hidden = f.hidden, r.state_bits = f.state_bits;
    s.out_channels = 4 * f.hidden, s.in_channels = f.hidden;
    fill(random, 4 * f.hidden, f.hidden, f.weight_bits, s.weights, s.planes);
    fill(random, 4 * f.hidden, f.hidden, f.weight_bits, r.weights, r.planes);
    r.bias.assign(static_cast<std::size_t>(4 * f.hidden), 0.1F);
    p.steps.push_back(std::move(s));
    x = y;
  }
  return p;
}

void run(const Form& f, int rounds, Sgemv sgemv) {
  const Program program = lstm(f);
  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> session;
  Status status = Model::from_program(program, model);
  if (status.ok()) status = Session::create(model, {}, session);
  std::vector<Tensor> inputs{Tensor(DType::i64, {1, 1})}, outputs;
  for (int i = 0; i < 2 * f.layers; ++i) inputs.emplace_back(DType::f32, Shape{1, 1, f.hidden});
  if (status.ok()) status = session->run(inputs, outputs);
  if (!status.ok()) {
    fmt::print(stderr, "{}\n", status.message());
    return;
  }
  const std::int64_t rows = 4 * f.hidden;
  Random random(2);
  std::vector<float> w(static_cast<std::size_t>(2 * f.layers * rows * f.hidden)), h(static_cast<std::size_t>(f.hidden)),
      y(static_cast<std::size_t>(rows)), values(h.size());
  for (float& v : w) v = random.uniform(-1, 1);
  for (float& v : h) v = random.uniform(-1, 1);
  std::vector<std::uint8_t> codes(h.size());
  float alpha[multibit::kMaxBits];
  double step = 1e30, real = 1e30, online = 1e30;
  for (int r = 0; r < rounds; ++r) {
    step = std::min(step, microseconds([&] { status = session->run(inputs, outputs); }));
    online = std::min(online, microseconds([&] {
                        multibit::decompose(h.data(), f.hidden, f.state_bits, multibit::Search::alternating, 2, alpha,
                                            codes.data(), values.data());
                      }));
    if (sgemv == nullptr) continue;
    real = std::min(real, microseconds([&] {
                      for (int m = 0; m < 2 * f.layers; ++m)
                        sgemv(101, 111, static_cast<int>(rows), static_cast<int>(f.hidden), 1,
                              w.data() + m * rows * f.hidden, static_cast<int>(f.hidden), h.data(), 1, 0, y.data(), 1);
                    }));
  }
  std::int64_t bytes = 0;
  for (const StepInfo& info : session->steps()) bytes += info.kind == "recurrent" ? info.weight_bytes : 0;
  fmt::print("{}x{:<6} W{}A{}  {:9.1f} {:12.1f} {:9.1f} {:9.1f} {:10.1f}\n", f.layers, f.hidden, f.weight_bits,
             f.state_bits, step, online * f.layers, static_cast<double>(bytes) / step / 1e3,
             sgemv != nullptr ? real : 0, sgemv != nullptr ? real / step : 0);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15;
  if (rounds < 1) {
    fmt::print(stderr, "usage: bench_recurrent [ROUNDS]\n");
    return 2;
  }
  const Sgemv sgemv = find_sgemv();
  fmt::print(
      "instruction set {}; best of {} interleaved rounds, one thread\n{:8} {:5} {:>9} {:>12} {:>9} {:>9} {:>10}\n",
      name_of(active_isa()), rounds, "LSTM", "", "step µs", "state q. µs", "GB/s", "sgemv µs", "x sgemv");
  for (const auto& [layers, hidden] : {std::pair{1, 1024}, {1, 300}, {2, 200}})
    for (const auto& [weight_bits, state_bits] : {std::pair{1, 1}, {2, 2}, {2, 3}, {3, 3}, {4, 4}})
      run({layers, hidden, weight_bits, state_bits}, rounds, sgemv);
  return 0;
}
