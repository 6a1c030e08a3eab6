// One training step of ResNet-20 (CIFAR shape): a hand-written LibTorch module with LibTorch's SGD, the executor on the
// same network as a Graph with nnq's optimizer, and the executor with quantizers placed (their penalties and what they
// do after a step included). Interleaved in one process, so that a busy machine slows all alike; the last column
// compares CPU time (with --threads 1, or OMP_WAIT_POLICY=passive: waiting threads spin).
//
//   bench_train_throughput [--rounds 7] [--batch 128] [--threads 2] [--methods dorefa,uniform,bnn:1] [--bits 2]
//   [--json] [--record results/speed/train_step.json]
#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "nnq/error.h"
#include "nnq/quantize.h"
#include "nnq/zoo.h"
#include "recipe/machine.h"
#include "train/executor.h"
#include "train/optimizer.h"
#include "train/threads.h"

namespace {

using nnq::Graph;

struct Settings {
  int rounds = 7, threads = 2, bits = 2;
  std::int64_t batch = 128;
  std::vector<std::string> methods{"dorefa"};
  std::string record, command;
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

using TrainStep = std::function<void(const torch::Tensor& x, const torch::Tensor& labels)>;

struct Contender {
  std::string name;
  TrainStep step;
  std::optional<double> limit;           // of its CPU time, in steps of the float executor
  std::vector<double> times, cpu_times;  // ms a step; of all threads together
};

constexpr double kRate = 0.01, kMomentum = 0.9, kDecay = 1e-4;

/// What a quantized step may cost in float steps.
std::optional<double> limit_of(const std::string& method) {
  static const std::map<std::string, double> limits{{"uniform", 1.15},  {"dorefa", 1.15},  {"bnn", 1.15},
                                                    {"bnn_plus", 1.15}, {"ttq", 1.15},     {"qil", 1.25},
                                                    {"lq_nets", 1.5},   {"alternating", 2}};
  const auto it = limits.find(method);
  return it == limits.end() ? std::nullopt : std::optional(it->second);
}

struct Cost {
  double wall_ms, cpu_ms;
};

Cost step(Contender& contender, const torch::Tensor& x, const torch::Tensor& labels) {
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t cpu_start = std::clock();
  contender.step(x, labels);
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

/// The step of src/train/training.cpp.
TrainStep executor_step(std::shared_ptr<nnq::train::Executor> executor, const std::string& input) {
  nnq::train::OptimizerOptions options;
  options.momentum = kMomentum;
  options.weight_decay = kDecay;
  auto optimizer = std::make_shared<nnq::train::Optimizer>(options);
  auto steps = std::make_shared<std::int64_t>(0);
  return [=](const torch::Tensor& x, const torch::Tensor& labels) {
    executor->set_step((*steps)++);
    torch::Tensor loss = torch::nn::functional::cross_entropy(executor->forward({{input, x}}, true)[0], labels);
    const std::vector<nnq::train::Parameter> parameters = executor->parameters();
    for (const nnq::train::Parameter& p : parameters) {
      const torch::Tensor penalty =
          p.weight_quantizer != nullptr ? p.weight_quantizer->penalty(*p.tensor) : torch::Tensor();
      if (penalty.defined()) loss = loss + penalty;
    }
    loss.backward();
    optimizer->step(parameters, kRate);
    for (const nnq::train::Parameter& p : parameters) p.tensor->mutable_grad().reset();
  };
}

Contender executor_contender(const std::string& name, const std::string& method, const Settings& settings,
                             const torch::Tensor& x) {
  nnq::train::Executor::Options how;
  how.channels_last = settings.channels_last;
  Graph graph = resnet20(method, settings.bits);
  const std::string input = graph.inputs[0].name;
  auto executor = std::make_shared<nnq::train::Executor>(std::move(graph), how);
  if (!method.empty()) executor->calibrate({x});
  executor->set_progress(0.5);
  return {name, executor_step(executor, input), limit_of(method), {}, {}};
}

Contender module_contender(const Settings& settings) {
  auto module = std::make_shared<ResNet20>();
  const bool last = settings.module_channels_last;
  if (last)
    for (torch::Tensor& parameter : module->parameters())
      if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(torch::MemoryFormat::ChannelsLast));
  auto optimizer = std::make_shared<torch::optim::SGD>(
      module->parameters(), torch::optim::SGDOptions(kRate).momentum(kMomentum).weight_decay(kDecay));
  const TrainStep step = [=](const torch::Tensor& x, const torch::Tensor& labels) {
    optimizer->zero_grad();
    const torch::Tensor in = last ? x.contiguous(torch::MemoryFormat::ChannelsLast) : x;
    torch::nn::functional::cross_entropy(module->forward(in), labels).backward();
    optimizer->step();
  };
  return {"hand-written module", step, {}, {}, {}};
}

Settings parse(int argc, char** argv) {
  Settings settings;
  settings.command = "bench_train_throughput";
  for (int i = 1; i < argc; ++i) settings.command += std::string(" ") + argv[i];
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
    else if (key == "--record")
      settings.record = value;
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

nlohmann::ordered_json document(const std::vector<Contender>& contenders, const Settings& settings) {
  const Contender &module = contenders[0], &graph = contenders[1];
  const nnq::recipe::Machine machine = nnq::recipe::this_machine();
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Contender& contender : contenders) {
    const double cpu = ratio(contender, graph, &Contender::cpu_times);
    nlohmann::ordered_json limit, met;
    if (contender.limit) limit = *contender.limit;
    if (contender.limit) met = cpu <= *contender.limit;
    rows.push_back({{"name", contender.name},
                    {"median_ms", median(contender.times)},
                    {"median_cpu_ms", median(contender.cpu_times)},
                    {"time_vs_module", ratio(contender, module)},
                    {"cpu_time_vs_module", ratio(contender, module, &Contender::cpu_times)},
                    {"time_vs_executor", ratio(contender, graph)},
                    {"cpu_time_vs_executor", cpu},
                    {"limit", limit},
                    {"met", met}});
  }
  return {{"command", settings.command},
          {"bench", "train_throughput"},
          {"network", "resnet20"},
          {"batch", settings.batch},
          {"threads", nnq::train::threads()},
          {"rounds", settings.rounds},
          {"machine", {{"cpu", machine.cpu}, {"cores", machine.cores}, {"isa", machine.isa}}},
          {"rows", rows}};
}

void print(const nlohmann::ordered_json& result) {
  fmt::print("ResNet-20, batch {}, {} threads, median of {} rounds\n{:<28}{:>10}{:>12}{:>14}{:>16}{:>8}\n",
             result["batch"].get<int>(), result["threads"].get<int>(), result["rounds"].get<int>(), "", "ms/step",
             "vs module", "vs executor", "CPU vs executor", "limit");
  for (const auto& row : result["rows"])
    fmt::print("{:<28}{:>10.1f}{:>12.3f}{:>14.3f}{:>16.3f}{:>8}\n", row["name"].get<std::string>(),
               row["median_ms"].get<double>(), row["time_vs_module"].get<double>(),
               row["time_vs_executor"].get<double>(), row["cpu_time_vs_executor"].get<double>(),
               row["limit"].is_null() ? "" : row["limit"].dump());
  const auto& executor = result["rows"][1];
  fmt::print("throughput of the executor: {:.3f} of the hand-written module (CPU time: {:.3f})\n",
             1 / executor["time_vs_module"].get<double>(), 1 / executor["cpu_time_vs_module"].get<double>());
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
    const nlohmann::ordered_json result = document(contenders, settings);
    if (settings.json)
      fmt::print("{}\n", result.dump(2));
    else
      print(result);
    if (settings.record.empty()) return 0;
    std::filesystem::create_directories(std::filesystem::path(settings.record).parent_path());
    std::ofstream(settings.record) << result.dump(2) << '\n';
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_train_throughput: {}\n", error.what());
    return 2;
  }
}
