// One training step of ResNet-20 (CIFAR shape): a hand-written LibTorch module, the executor on the same network as a
// Graph, and the executor with fake quantizers placed. Interleaved in one process, so that a busy machine slows all
// alike; the last column compares CPU time (with --threads 1, or OMP_WAIT_POLICY=passive: waiting threads spin).
//
//   bench_train_throughput [--rounds 7] [--batch 128] [--threads 2] [--methods dorefa,uniform,bnn:1] [--bits 2]
//   [--json]
#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "nnq/error.h"
#include "nnq/quantize.h"
#include "nnq/zoo.h"
#include "train/executor.h"
#include "train/threads.h"

namespace {

using nnq::Graph;

struct Settings {
  int rounds = 7, threads = 2, bits = 2;
  std::int64_t batch = 128;
  std::vector<std::string> methods{"dorefa"};
  bool json = false, channels_last = true, module_channels_last = true;
};

// ---- the hand-written module -------------------------------------------------------------------------------------

torch::nn::Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

struct BlockImpl : torch::nn::Module {
  BlockImpl(std::int64_t in, std::int64_t out, std::int64_t stride_)
      : conv1(register_module("conv1", conv(in, out, 3, stride_))),
        conv2(register_module("conv2", conv(out, out, 3, 1))),
        bn1(register_module("bn1", torch::nn::BatchNorm2d(out))),
        bn2(register_module("bn2", torch::nn::BatchNorm2d(out))),
        stride(stride_),
        grown((out - in) / 2) {}
  torch::Tensor forward(const torch::Tensor& x) {
    const torch::Tensor y = bn2(conv2(torch::relu(bn1(conv1(x)))));
    if (stride == 1) return torch::relu(y + x);
    const torch::Tensor sampled = x.slice(2, 0, c10::nullopt, stride).slice(3, 0, c10::nullopt, stride);
    return torch::relu(y + torch::constant_pad_nd(sampled, {0, 0, 0, 0, grown, grown}));
  }
  torch::nn::Conv2d conv1, conv2;
  torch::nn::BatchNorm2d bn1, bn2;
  std::int64_t stride, grown;  // option A of the paper: sample and pad
};
TORCH_MODULE(Block);

struct ResNet20 : torch::nn::Module {
  ResNet20() {
    register_module("stem", stem);
    register_module("bn", bn);
    std::int64_t in = 16;
    for (const std::int64_t width : {16, 32, 64})
      for (int b = 0; b < 3; ++b) {
        blocks->push_back(Block(in, width, b == 0 && width != 16 ? 2 : 1));
        in = width;
      }
    register_module("blocks", blocks);
    register_module("fc", fc);
  }
  torch::Tensor forward(torch::Tensor x) {
    x = torch::relu(bn(stem(x)));
    x = blocks->forward(x);
    return fc(x.mean({2, 3}));
  }
  torch::nn::Conv2d stem = conv(3, 16, 3, 1);
  torch::nn::BatchNorm2d bn{16};
  torch::nn::Sequential blocks;
  torch::nn::Linear fc{64, 10};
};

// ---- the same network as a Graph -----------------------------------------------------------------------------------

bool serves(const std::string& method, nnq::train::Role role, int bits) {
  nnq::train::QuantizerContext context;
  context.role = role;
  context.bits = bits;
  try {
    nnq::train::find_method(method).make(context);
  } catch (const nnq::Error&) {
    return false;
  }
  return true;
}

/// The zoo's ResNet-20; with a method, weights and (where it has them) inputs of all layers but the first and the last
/// are quantized.
Graph resnet20(const std::string& method, int bits) {
  Graph graph = nnq::build_zoo("resnet20");
  if (method.empty()) return graph;
  const nnq::QuantizerSpec weights{method, bits, {}};
  const nnq::QuantizerSpec activations =
      serves(method, nnq::train::Role::activation, bits) ? weights : nnq::QuantizerSpec{};
  nnq::PlacementOptions options;
  options.rules = {{"*", weights, activations, {}}, {"first", {}, {}, {}}, {"last", {}, {}, {}}};
  return nnq::place_quantizers(std::move(graph), options);
}

// ---- measuring -----------------------------------------------------------------------------------------------------

struct Contender {
  std::string name;
  std::function<torch::Tensor(const torch::Tensor&)> forward;
  std::unique_ptr<torch::optim::SGD> optimizer;
  std::vector<double> times, cpu_times;  // ms a step; of all threads together
};

torch::optim::SGDOptions options() { return torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(1e-4); }

struct Cost {
  double wall_ms, cpu_ms;
};

Cost step(Contender& contender, const torch::Tensor& x, const torch::Tensor& labels) {
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t cpu_start = std::clock();
  contender.optimizer->zero_grad();
  torch::nn::functional::cross_entropy(contender.forward(x), labels).backward();
  contender.optimizer->step();
  return {std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count(),
          1e3 * static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Median over rounds of this round's ratio to the first contender: what a drifting machine does to both cancels.
double ratio(const Contender& contender, const Contender& base,
             std::vector<double> Contender::*of = &Contender::times) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < base.times.size(); ++i) ratios.push_back((contender.*of)[i] / (base.*of)[i]);
  return median(ratios);
}

Contender executor_contender(const std::string& name, const std::string& method, const Settings& settings,
                             const torch::Tensor& x) {
  nnq::train::Executor::Options how;
  how.channels_last = settings.channels_last;
  Graph graph = resnet20(method, settings.bits);
  const std::string input = graph.inputs[0].name;
  auto executor = std::make_shared<nnq::train::Executor>(std::move(graph), how);
  if (!method.empty()) executor->calibrate({x});
  std::vector<torch::Tensor> parameters;
  for (const nnq::train::Parameter& parameter : executor->parameters())
    if (parameter.trainable) parameters.push_back(*parameter.tensor);
  return {name,
          [executor, input](const torch::Tensor& in) {
            return executor->forward({{input, in}}, true)[0];
          },
          std::make_unique<torch::optim::SGD>(parameters, options()),
          {},
          {}};
}

Contender module_contender(const Settings& settings) {
  auto module = std::make_shared<ResNet20>();
  if (settings.module_channels_last)
    for (torch::Tensor& parameter : module->parameters())
      if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(torch::MemoryFormat::ChannelsLast));
  const bool last = settings.module_channels_last;
  return {"hand-written module",
          [module, last](const torch::Tensor& in) {
            return module->forward(last ? in.contiguous(torch::MemoryFormat::ChannelsLast) : in);
          },
          std::make_unique<torch::optim::SGD>(module->parameters(), options()),
          {},
          {}};
}

Settings parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string key = argv[i];
    if (key == "--json") {
      settings.json = true;
      continue;
    }
    if (i + 1 >= argc) throw nnq::Error("option " + key + " needs a value");
    const std::string value = argv[++i];
    if (key == "--rounds")
      settings.rounds = std::max(1, std::atoi(value.c_str()));
    else if (key == "--batch")
      settings.batch = std::max(1, std::atoi(value.c_str()));
    else if (key == "--threads")
      settings.threads = std::atoi(value.c_str());
    else if (key == "--bits")
      settings.bits = std::atoi(value.c_str());
    else if (key == "--channels-last")
      settings.channels_last = value != "0";
    else if (key == "--module-channels-last")
      settings.module_channels_last = value != "0";
    else if (key == "--methods") {
      settings.methods.clear();
      std::stringstream list(value);
      for (std::string method; std::getline(list, method, ',');) settings.methods.push_back(method);
    } else
      throw nnq::Error("unknown option " + key);
  }
  return settings;
}

void print(const std::vector<Contender>& contenders, const Settings& settings) {
  const Contender &module = contenders[0], &graph = contenders[1];
  nlohmann::json rows = nlohmann::json::array();
  if (!settings.json)
    fmt::print("ResNet-20, batch {}, {} threads, median of {} rounds\n{:<28}{:>10}{:>12}{:>14}{:>16}\n", settings.batch,
               nnq::train::threads(), settings.rounds, "", "ms/step", "vs module", "vs executor", "CPU vs executor");
  for (const Contender& contender : contenders) {
    const double ms = median(contender.times), to_module = ratio(contender, module), to_graph = ratio(contender, graph);
    const double cpu = ratio(contender, graph, &Contender::cpu_times);
    rows.push_back({{"name", contender.name},
                    {"median_ms", ms},
                    {"time_vs_module", to_module},
                    {"time_vs_executor", to_graph},
                    {"cpu_time_vs_executor", cpu}});
    if (!settings.json)
      fmt::print("{:<28}{:>10.1f}{:>12.3f}{:>14.3f}{:>16.3f}\n", contender.name, ms, to_module, to_graph, cpu);
  }
  if (settings.json)
    fmt::print("{}\n", nlohmann::json{{"bench", "train_throughput"},
                                      {"network", "resnet20"},
                                      {"batch", settings.batch},
                                      {"threads", nnq::train::threads()},
                                      {"rounds", settings.rounds},
                                      {"rows", rows}}
                           .dump(2));
  else
    fmt::print("throughput of the executor: {:.3f} of the hand-written module\n", 1 / ratio(graph, module));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Settings settings = parse(argc, argv);
    nnq::train::set_threads(settings.threads);
    torch::manual_seed(1);
    const torch::Tensor x = torch::randn({settings.batch, 3, 32, 32}),
                        labels = torch::randint(10, {settings.batch}, torch::kLong);
    std::vector<Contender> contenders;
    contenders.push_back(module_contender(settings));
    contenders.push_back(executor_contender("executor", "", settings, x));
    for (const std::string& item : settings.methods) {
      Settings own = settings;
      const std::size_t colon = item.find(':');
      if (colon != std::string::npos) own.bits = std::atoi(item.substr(colon + 1).c_str());
      const std::string method = item.substr(0, colon);
      contenders.push_back(
          executor_contender(fmt::format("executor, {} W{}A{}", method, own.bits,
                                         serves(method, nnq::train::Role::activation, own.bits) ? own.bits : 32),
                             method, own, x));
    }
    for (Contender& contender : contenders) step(contender, x, labels);  // warm up
    for (int round = 0; round < settings.rounds; ++round)
      for (Contender& contender : contenders) {
        const Cost cost = step(contender, x, labels);
        contender.times.push_back(cost.wall_ms);
        contender.cpu_times.push_back(cost.cpu_ms);
      }
    print(contenders, settings);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_train_throughput: {}\n", error.what());
    return 2;
  }
}
