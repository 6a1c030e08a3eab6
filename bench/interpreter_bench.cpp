// How many times faster the runtime is than the reference interpreter, without any instruction set of the CPU's own
// (NNQ_ISA=portable): the shipped Fashion-MNIST network packed at several widths, or the .nnq files named.
// `bench_interpreter [FILE.nnq ...]`; exits 1 when a ratio is below 20. `bench_interpreter --write FOLDER` writes the
// packed networks and an input, for comparing machines.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <functional>

#include "core/atomic_file.h"
#include "core/npy.h"
#include "core/random.h"
#include "nnq/error.h"
#include "nnq/lower.h"
#include "nnq/onnx.h"
#include "nnq/program.h"
#include "nnq/quantize.h"
#include "nnq/runtime.h"

namespace {

using namespace nnq;

constexpr double wanted = 20;
constexpr int widths[] = {1, 2, 4, 8};

/// Weights rounded to a step that covers them, or to their sign: enough for measuring time.
Encoding encode(const Node& node, const Tensor& w) {
  Encoding e;
  e.shape = w.shape();
  e.bits = static_cast<int>(node.get_int("bits", 8));
  e.groups = 1;
  float most = 1e-6F;
  for (const float v : w.values<float>()) most = std::max(most, std::abs(v));
  const int half = 1 << (e.bits - 1);
  e.kind = e.bits == 1 ? EncodingKind::bit_planes : EncodingKind::uniform;
  if (e.bits == 1) {
    e.offset = {-most};
    e.plane_scale = {2 * most};
  } else {
    e.scale = {most / static_cast<float>(half - 1)};
    e.zero_point = {half};
  }
  for (const float v : w.values<float>()) {
    const int code = e.bits == 1 ? (v >= 0 ? 1 : 0) : static_cast<int>(std::nearbyint(v / e.scale[0])) + half;
    e.codes.push_back(static_cast<std::uint8_t>(code));
  }
  return e;
}

ActivationCode code_of(const Node& node) {
  ActivationCode code;
  code.bits = static_cast<int>(node.get_int("bits", 8));
  code.sign = node.get_string("method", "") == "bnn";
  const bool is_signed = node.get_int("signed", 1) != 0;
  const int levels = 1 << code.bits;
  code.min = is_signed ? -levels / 2 : 0;
  code.max = code.min + levels - 1;
  code.scale = code.step = node.has("scale") ? node.get_float("scale", 1) : 4.0F / static_cast<float>(levels);
  return code;
}

Program packed(const Graph& graph, int bits) {
  const QuantizerSpec w{bits == 1 ? "bnn" : "uniform", bits, {}}, eight{"uniform", 8, {}};
  const PlacementOptions options{{{"*", w, w, {}}, {"first", eight, eight, {}}, {"last", eight, eight, {}}}, true};
  return lower(freeze(place_quantizers(graph, options), {encode, code_of}));
}

/// CPU time of this thread, which does all the work: a busy machine interrupts a long run more often than a short one.
double milliseconds(const std::function<Status()>& run) {
  const auto now = [] {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
  };
  const double begin = now();
  throw_if_error(run());
  return now() - begin;
}

std::vector<Tensor> random_inputs(const Program& program) {
  Random random(1);
  std::vector<Tensor> inputs;
  for (const std::int32_t v : program.inputs) {
    Shape shape;
    for (const Dim& d : program.values[static_cast<std::size_t>(v)].type.shape)
      shape.push_back(d.known() ? d.value : 1);
    Tensor t(DType::f32, shape);
    for (float& x : t.mutable_values<float>()) x = static_cast<float>(random.uniform());
    inputs.push_back(std::move(t));
  }
  return inputs;
}

/// Prints one line; whether the ratio is what it should be.
bool measure(const std::string& name, std::shared_ptr<const Model> model) {
  const std::vector<Tensor> inputs = random_inputs(model->program());
  std::vector<Tensor> expected, outputs;
  throw_if_error(interpret_program(model->program(), inputs, expected));
  std::unique_ptr<Session> session;
  throw_if_error(Session::create(model, {.threads = 1}, session));
  throw_if_error(session->run(inputs, outputs));
  if (outputs != expected) throw Error("runtime and interpreter differ", name, {}, /*fault=*/true);
  // The fastest of many, in turns.
  double slow = 1e9, fast = 1e9;
  for (int round = 0; round < 15; ++round) {
    slow = std::min(slow, milliseconds([&] { return interpret_program(model->program(), inputs, expected); }));
    for (int i = 0; i < 11; ++i) fast = std::min(fast, milliseconds([&] { return session->run(inputs, outputs); }));
  }
  fmt::print("{:<28} {:>14.3f} {:>14.3f} {:>10.1f}\n", name, slow, fast, slow / fast);
  std::vector<StepInfo> steps;
  double total = 0;
  throw_if_error(session->profile(inputs, 11, steps, total));
  std::sort(steps.begin(), steps.end(),
            [](const StepInfo& a, const StepInfo& b) { return a.median_microseconds > b.median_microseconds; });
  for (std::size_t i = 0; i < std::min<std::size_t>(3, steps.size()); ++i)
    fmt::print("    {:<24} {:<24} {:>9.1f} us\n", steps[i].name, steps[i].kernel, steps[i].median_microseconds);
  return slow / fast >= wanted;
}

/// FOLDER/wBaB.nnq of the shipped network, and FOLDER/input.npy.
void write(const std::string& folder) {
  const Graph graph = import_onnx(NNQ_SOURCE_DIR "/models/fashion_mnist_float.onnx");
  for (const int bits : widths) {
    const Program program = packed(graph, bits);
    write_file_atomically(fmt::format("{0}/w{1}a{1}.nnq", folder, bits), serialize_program(program));
    if (bits == widths[0]) throw_if_error(try_save_npy(random_inputs(program)[0], folder + "/input.npy"));
  }
}

bool run(int count, char** arguments) {
  if (count == 3 && arguments[1] == std::string("--write")) return write(arguments[2]), true;
  setenv("NNQ_ISA", "portable", 1);
  fmt::print("{:<28} {:>14} {:>14} {:>10}\n", "network, 1 image, 1 thread", "interpreter ms", "portable ms", "ratio");
  bool good = true;
  for (int i = 1; i < count; ++i) {
    std::shared_ptr<const Model> model;
    throw_if_error(Model::load(arguments[i], {}, model));
    good = measure(arguments[i], std::move(model)) && good;
  }
  if (count > 1) return good;
  const Graph graph = import_onnx(NNQ_SOURCE_DIR "/models/fashion_mnist_float.onnx");
  for (const int bits : widths) {
    std::shared_ptr<const Model> model;
    throw_if_error(Model::from_program(packed(graph, bits), model));
    good = measure(fmt::format("fashion_mnist W{0}A{0}", bits), std::move(model)) && good;
  }
  return good;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run(count, arguments) ? 0 : 1;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 2;
  }
}
