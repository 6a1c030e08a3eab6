// What a second thread brings, layer by layer: the best of many runs on one thread over the best of many on N, taken in
// turns, and the same for whole networks. Both cores must be free for the figures to mean anything; runs that something
// else disturbed are left out by taking the best.
//   bench_threads [THREADS] [ROUNDS]      (default 2 threads, 60 rounds)
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "nnq/error.h"
#include "nnq/runtime.h"
#include "quantized_zoo.h"

namespace {

using nnq::Session;
using nnq::StepInfo;

/// The best time of every step, of runs taken so far.
struct Best {
  std::unique_ptr<Session> session;
  std::vector<StepInfo> steps;
  double whole = 1e30;  // milliseconds

  void profile(const std::vector<nnq::Tensor>& inputs) {
    std::vector<StepInfo> now;
    double milliseconds = 0;
    nnq::throw_if_error(session->profile(inputs, 3, now, milliseconds), "run");
    whole = std::min(whole, milliseconds);
    for (std::size_t i = 0; i < now.size() && !steps.empty(); ++i)
      now[i].best_microseconds = std::min(now[i].best_microseconds, steps[i].best_microseconds);
    steps = std::move(now);
  }
};

void compare(const char* network, int weights, int activations, int threads, int rounds) {
  std::shared_ptr<const nnq::Model> model;
  nnq::throw_if_error(nnq::Model::from_program(nnq::bench::quantized_program(network, weights, activations), model),
                      network);
  std::vector<nnq::Tensor> inputs;
  for (const nnq::ModelPort& port : model->inputs()) {
    nnq::Shape shape;
    for (const nnq::Dim& d : port.type.shape) shape.push_back(d.known() ? d.value : 1);
    inputs.emplace_back(port.type.dtype, shape);
  }
  Best one, many;
  Session::Options options;
  nnq::throw_if_error(Session::create(model, options, one.session), network);
  options.threads = threads;
  nnq::throw_if_error(Session::create(model, options, many.session), network);
  for (int i = 0; i < rounds; ++i) {
    one.profile(inputs);
    many.profile(inputs);
  }
  fmt::print("{} W{}A{}, {} threads\n", network, weights, activations, threads);
  double least = 1e30, sum_one = 0, sum_many = 0;
  for (std::size_t i = 0; i < one.steps.size(); ++i) {
    const StepInfo &a = one.steps[i], &b = many.steps[i];
    const bool layer = a.operations > 0 && a.best_microseconds > 50;
    if (!layer) continue;
    const double ratio = a.best_microseconds / b.best_microseconds;
    least = std::min(least, ratio);
    sum_one += a.best_microseconds;
    sum_many += b.best_microseconds;
    fmt::print("  {:<32} {:<28} {:9.1f} us {:9.1f} us  {:.2f}x\n", a.name, a.kernel, a.best_microseconds,
               b.best_microseconds, ratio);
  }
  fmt::print("  layers above 50 us: {:.2f}x together, {:.2f}x the least; whole run {:.3f} / {:.3f} ms, {:.2f}x\n\n",
             sum_one / sum_many, least, one.whole, many.whole, one.whole / many.whole);
}

}  // namespace

int main(int argc, char** argv) try {
  const int threads = argc > 1 ? std::max(2, std::atoi(argv[1])) : 2, rounds = argc > 2 ? std::atoi(argv[2]) : 60;
  compare("resnet18", 1, 1, threads, rounds);
  compare("resnet18", 8, 8, threads, rounds);
  compare("vgg_small", 2, 2, threads, rounds);
  compare("mobilenet_v1", 4, 4, threads, rounds);
  return 0;
} catch (const std::exception& e) {
  fmt::print(stderr, "bench_threads: {}\n", e.what());
  return 1;
}
