// Post-training quantization of ResNet-20 (CIFAR shape) by every registered method: placing, calibration on 1,024
// images, freezing and lowering, as `nnq compress --epochs 0` does before it measures. Weights and activations get the
// method where it serves them, at 1, 2, 3 and 4 bits as far as it goes; the images are noise, which costs the same.
//
//   bench_train_post_training [--images 1024] [--threads 1] [--methods lq_nets,qil] [--limit 10] [--record FILE]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "core/random.h"
#include "nnq/error.h"
#include "nnq/lower.h"
#include "nnq/passes.h"
#include "nnq/program.h"
#include "nnq/quantize.h"
#include "nnq/zoo.h"
#include "recipe/machine.h"
#include "train/quantizer.h"
#include "train/threads.h"
#include "train/trainer.h"

namespace {

using nlohmann::ordered_json;
using nnq::Graph;

struct Settings {
  std::int64_t images = 1024;
  int threads = 1;
  double limit = 10;  // seconds of CPU
  std::vector<std::string> methods;
  std::string record, command = "bench_train_post_training";
};

bool serves(const nnq::train::Method& method, nnq::train::Role role, int bits) {
  nnq::train::QuantizerContext context;
  context.role = role;
  context.bits = bits;
  try {
    method.make(context);
  } catch (const nnq::Error&) {
    return false;
  }
  return true;
}

nnq::Samples noise(std::int64_t count) {
  nnq::Samples samples;
  samples.images = nnq::Tensor(nnq::DType::u8, {count, 3, 32, 32});
  samples.labels = nnq::Tensor(nnq::DType::i64, {count});
  samples.classes.assign(10, "class");
  samples.source = "noise";
  const nnq::Random random(1);
  std::uint64_t i = 0;
  for (std::uint8_t& pixel : samples.images.mutable_values<std::uint8_t>())
    pixel = static_cast<std::uint8_t>(random.uniform_at(i++) * 256);
  for (std::int64_t& label : samples.labels.mutable_values<std::int64_t>()) label = 0;
  return samples;
}

Graph placed(const nnq::train::Method& method, int bits) {
  const nnq::QuantizerSpec weights{method.info.id, bits, {}};
  const bool both = serves(method, nnq::train::Role::activation, bits);
  nnq::PlacementOptions options;
  options.rules = {{"*", weights, both ? weights : nnq::QuantizerSpec{"uniform", 8, {}}, {}}};
  for (const char* layer : {"first", "last"})
    options.rules.push_back({layer, {"uniform", 8, {}}, {"uniform", 8, {}}, {}});
  Graph graph = nnq::build_zoo("resnet20");
  if (bits > 1) graph = nnq::fold_batch_norm(std::move(graph));
  return nnq::place_quantizers(std::move(graph), options);
}

ordered_json timed(const nnq::train::Method& method, int bits, const nnq::Samples& samples) {
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t cpu = std::clock();
  Graph graph = nnq::train::calibrate_graph(placed(method, bits), samples, {}, samples.images.shape()[0], 1);
  const nnq::Program program = nnq::lower(nnq::train::freeze_graph(graph, 1));
  return {{"method", method.info.id},
          {"bits", bits},
          {"activations", serves(method, nnq::train::Role::activation, bits)},
          {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()},
          {"cpu_seconds", static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC},
          {"steps", program.steps.size()}};
}

Settings parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) settings.command += std::string(" ") + argv[i];
  for (int i = 1; i < argc; ++i) {
    const std::string key = argv[i];
    if (i + 1 >= argc) throw nnq::Error("option " + key + " needs a value");
    const std::string value = argv[++i];
    if (key == "--images")
      settings.images = std::max(1, std::atoi(value.c_str()));
    else if (key == "--threads")
      settings.threads = std::atoi(value.c_str());
    else if (key == "--limit")
      settings.limit = std::atof(value.c_str());
    else if (key == "--record")
      settings.record = value;
    else if (key == "--methods") {
      std::stringstream list(value);
      for (std::string method; std::getline(list, method, ',');) settings.methods.push_back(method);
    } else
      throw nnq::Error("unknown option " + key);
  }
  return settings;
}

int run(const Settings& settings) {
  nnq::train::set_threads(settings.threads);
  const nnq::Samples samples = noise(settings.images);
  const nnq::recipe::Machine machine = nnq::recipe::this_machine();
  ordered_json rows = ordered_json::array();
  bool met = true;
  fmt::print("{:<18}{:>6}{:>12}{:>10}{:>10}\n", "method", "bits", "activations", "seconds", "CPU s");
  for (const nnq::train::Method& method : nnq::train::all_methods()) {
    if (!settings.methods.empty() && std::count(settings.methods.begin(), settings.methods.end(), method.info.id) == 0)
      continue;
    for (const int bits : {1, 2, 3, 4, 8}) {
      if (!serves(method, nnq::train::Role::weight, bits)) continue;
      const ordered_json row = timed(method, bits, samples);
      fmt::print("{:<18}{:>6}{:>12}{:>10.2f}{:>10.2f}\n", method.info.id, bits,
                 row["activations"].get<bool>() ? "own" : "uniform 8", row["seconds"].get<double>(),
                 row["cpu_seconds"].get<double>());
      met = met && row["cpu_seconds"].get<double>() < settings.limit;
      rows.push_back(row);
    }
  }
  fmt::print("every one below {} s of CPU: {}\n", settings.limit, met ? "yes" : "NO");
  if (!settings.record.empty()) {
    const ordered_json document = {{"command", settings.command},
                                   {"bench", "post_training"},
                                   {"network", "resnet20"},
                                   {"images", settings.images},
                                   {"threads", nnq::train::threads()},
                                   {"limit", settings.limit},
                                   {"met", met},
                                   {"machine", {{"cpu", machine.cpu}, {"cores", machine.cores}, {"isa", machine.isa}}},
                                   {"rows", rows}};
    std::filesystem::create_directories(std::filesystem::path(settings.record).parent_path());
    std::ofstream(settings.record) << document.dump(2) << '\n';
  }
  return met ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse(argc, argv));
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_train_post_training: {}\n", error.what());
    return 2;
  }
}
