// Times a network of the zoo at some bits, and writes it as .nnq for `nnq benchmark`:
//   bench_quantized_zoo NETWORK WEIGHT_BITS ACTIVATION_BITS [MODEL.nnq]      (32 32: float)
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>

#include "nnq/error.h"
#include "nnq/runtime.h"
#include "quantized_zoo.h"

namespace {

double best_milliseconds(nnq::Session& session, const std::vector<nnq::Tensor>& inputs) {
  std::vector<nnq::Tensor> outputs;
  double best = 1e30;
  for (int i = 0; i < 20; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    nnq::throw_if_error(session.run(inputs, outputs), "run");
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 4) {
    fmt::print(stderr, "usage: bench_quantized_zoo NETWORK WEIGHT_BITS ACTIVATION_BITS [MODEL.nnq]\n");
    return 2;
  }
  const nnq::Program program = nnq::bench::quantized_program(argv[1], std::atoi(argv[2]), std::atoi(argv[3]));
  if (argc > 4) nnq::write_program(program, argv[4]);
  std::shared_ptr<const nnq::Model> model;
  nnq::throw_if_error(nnq::Model::from_program(program, model), "model");
  std::unique_ptr<nnq::Session> session;
  nnq::throw_if_error(nnq::Session::create(model, {}, session), "session");
  std::vector<nnq::Tensor> inputs;
  for (const nnq::ModelPort& port : model->inputs()) {
    nnq::Shape shape;
    for (const nnq::Dim& d : port.type.shape) shape.push_back(d.known() ? d.value : 1);
    inputs.emplace_back(port.type.dtype, shape);
  }
  fmt::print("{} W{}A{}: {:.3f} ms, one thread, best of 20, {}\n", argv[1], argv[2], argv[3],
             best_milliseconds(*session, inputs), session->isa());
  return 0;
} catch (const std::exception& e) {
  fmt::print(stderr, "bench_quantized_zoo: {}\n", e.what());
  return 1;
}
