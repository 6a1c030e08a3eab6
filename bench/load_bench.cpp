// What it takes to open a model: Model::load (mapped, verified, sums proven to fit), the first plan (weights packed for
// the kernels), that of a second session, which shares them, and the first plan with weights from a cache on disk (and
// once with the writing of it); the best of many, files in the page cache.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "nnq/error.h"
#include "nnq/runtime.h"
#include "quantized_zoo.h"

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// Milliseconds of the first session and plan of a model.
double first_plan(const std::string& file, const nnq::Shape& shape, const std::string& cache) {
  std::shared_ptr<const nnq::Model> model;
  nnq::throw_if_error(nnq::Model::load(file, {}, model), "load");
  const auto begin = Clock::now();
  std::unique_ptr<nnq::Session> session;
  nnq::throw_if_error(nnq::Session::create(model, {.weights_cache = cache}, session), "session");
  nnq::throw_if_error(session->prepare(std::vector<nnq::Shape>{shape}), "plan");
  for (const std::string& note : session->notes()) throw nnq::Error(note, cache);
  return milliseconds(begin);
}

void measure(const char* network, int weights, int activations) {
  const std::string file = (std::filesystem::temp_directory_path() / fmt::format("nnq_load_{}.nnq", getpid())).string();
  nnq::write_program(nnq::bench::quantized_program(network, weights, activations), file);
  const std::string cache = file + ".cache";
  double load = 1e30, plan = 1e30, second = 1e30, written = 0, found = 1e30;
  std::size_t bytes = 0;
  for (int i = 0; i < 15; ++i) {
    auto begin = Clock::now();
    std::shared_ptr<const nnq::Model> model;
    nnq::throw_if_error(nnq::Model::load(file, {}, model), "load");
    load = std::min(load, milliseconds(begin));
    bytes = model->file_bytes();
    nnq::Shape shape;
    for (const nnq::Dim& d : model->inputs()[0].type.shape) shape.push_back(d.known() ? d.value : 1);
    begin = Clock::now();
    std::unique_ptr<nnq::Session> session;
    nnq::throw_if_error(nnq::Session::create(model, {}, session), "session");
    nnq::throw_if_error(session->prepare(std::vector<nnq::Shape>{shape}), "plan");
    plan = std::min(plan, milliseconds(begin));
    begin = Clock::now();
    std::unique_ptr<nnq::Session> another;
    nnq::throw_if_error(nnq::Session::create(model, {}, another), "session");
    nnq::throw_if_error(another->prepare(std::vector<nnq::Shape>{shape}), "plan");
    second = std::min(second, milliseconds(begin));
    if (i == 0) written = first_plan(file, shape, cache);
    found = std::min(found, first_plan(file, shape, cache));
  }
  std::filesystem::remove(file);
  std::filesystem::remove_all(cache);
  fmt::print(
      "{:<14} W{}A{}  {:6.2f} MB   load {:7.3f} ms   session and plan {:8.2f} ms   another {:8.2f} ms   "
      "from a cache {:8.2f} ms (written: {:.1f} ms)\n",
      network, weights, activations, static_cast<double>(bytes) / 1e6, load, plan, second, found, written);
}

}  // namespace

int main() try {
  measure("resnet18", 8, 8);
  measure("resnet18", 4, 4);
  measure("resnet18", 1, 1);
  measure("vgg_small", 1, 1);
  measure("vgg_small", 32, 32);
  return 0;
} catch (const std::exception& e) {
  fmt::print(stderr, "bench_load: {}\n", e.what());
  return 1;
}
