// One training step of ResNet-20 (CIFAR shape): a hand-written LibTorch module, the executor on the same network as a
// Graph, and the executor with fake quantizers placed. Interleaved in one process, so that a busy machine slows all
// alike.
//
//   bench_train_throughput [--rounds 7] [--batch 128] [--threads 2] [--methods dorefa,uniform] [--bits 2] [--json]
#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "nnq/error.h"
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
  BlockImpl(std::int64_t in, std::int64_t out, std::int64_t stride)
      : conv1(register_module("conv1", conv(in, out, 3, stride))),
        conv2(register_module("conv2", conv(out, out, 3, 1))),
        bn1(register_module("bn1", torch::nn::BatchNorm2d(out))),
        bn2(register_module("bn2", torch::nn::BatchNorm2d(out))) {
    if (in != out || stride != 1)
      shortcut =
          register_module("shortcut", torch::nn::Sequential(conv(in, out, 1, stride), torch::nn::BatchNorm2d(out)));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor y = torch::relu(bn1(conv1(x)));
    y = bn2(conv2(y)) + (shortcut ? shortcut->forward(x) : x);
    return torch::relu(y);
  }
  torch::nn::Conv2d conv1, conv2;
  torch::nn::BatchNorm2d bn1, bn2;
  torch::nn::Sequential shortcut{nullptr};
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

/// Writes nodes and initializers by name; with a method, quantizes weights and inputs of all but the first and last
/// layer.
class Builder {
 public:
  Builder(std::string method, int bits) : method_(std::move(method)), bits_(bits) {}

  std::string node(const std::string& op, std::vector<std::string> inputs,
                   std::map<std::string, nnq::Attribute> attributes, const char* domain = "") {
    const std::string name = op + std::to_string(graph.nodes.size());
    graph.nodes.push_back({name, op, domain, std::move(inputs), {name + ".out"}, std::move(attributes)});
    return name + ".out";
  }
  std::string parameter(const nnq::Shape& shape, float spread, float centre = 0) {
    const std::string name = "p" + std::to_string(graph.initializers.size());
    nnq::Tensor value(nnq::DType::f32, shape);
    for (float& v : value.mutable_values<float>())
      v = centre + spread * (static_cast<float>(std::rand()) / static_cast<float>(RAND_MAX) * 2 - 1);
    graph.initializers[name] = std::move(value);
    return name;
  }
  std::string quantizer(const std::string& x, const char* role) {
    return node("Quantizer", {x}, {{"method", method_}, {"role", std::string(role)}, {"bits", std::int64_t{bits_}}},
                nnq::kNnqDomain);
  }
  std::string conv_bn(const std::string& x, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                      bool quantize) {
    const std::int64_t pad = kernel / 2;
    std::string w = parameter({out, in, kernel, kernel}, 1 / std::sqrt(static_cast<float>(in * kernel * kernel)));
    if (quantize) w = quantizer(w, "weight");
    using Ints = std::vector<std::int64_t>;
    const std::string s = node("Conv", {x, w}, {{"pads", Ints{pad, pad, pad, pad}}, {"strides", Ints{stride, stride}}});
    return node("BatchNormalization",
                {s, parameter({out}, 0, 1), parameter({out}, 0), parameter({out}, 0), parameter({out}, 0, 1)}, {});
  }

  Graph graph;
  bool quantizes() const { return !method_.empty(); }

 private:
  std::string method_;
  int bits_;
};

Graph resnet20(const std::string& method, int bits) {
  Builder b(method, bits);
  const bool quantize = b.quantizes();
  b.graph.inputs = {{"x", nnq::ValueType{}}};
  std::string x = b.node("Relu", {b.conv_bn("x", 3, 16, 3, 1, false)}, {});
  std::int64_t in = 16;
  for (const std::int64_t width : {16, 32, 64})
    for (int block = 0; block < 3; ++block) {
      const std::int64_t stride = block == 0 && width != 16 ? 2 : 1;
      const std::string q = quantize ? b.quantizer(x, "activation") : x;
      std::string y = b.node("Relu", {b.conv_bn(q, in, width, 3, stride, quantize)}, {});
      if (quantize) y = b.quantizer(y, "activation");
      y = b.conv_bn(y, width, width, 3, 1, quantize);
      const std::string shortcut = stride == 1 ? x : b.conv_bn(q, in, width, 1, stride, quantize);
      x = b.node("Relu", {b.node("Add", {y, shortcut}, {})}, {});
      in = width;
    }
  x = b.node("Flatten", {b.node("GlobalAveragePool", {x}, {})}, {});
  b.graph.outputs = {
      b.node("Gemm", {x, b.parameter({10, 64}, 0.1f), b.parameter({10}, 0)}, {{"transB", std::int64_t{1}}})};
  return std::move(b.graph);
}

// ---- measuring -----------------------------------------------------------------------------------------------------

struct Contender {
  std::string name;
  std::function<torch::Tensor(const torch::Tensor&)> forward;
  std::unique_ptr<torch::optim::SGD> optimizer;
  std::vector<double> times;
};

torch::optim::SGDOptions options() { return torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(1e-4); }

double step(Contender& contender, const torch::Tensor& x, const torch::Tensor& labels) {
  const auto start = std::chrono::steady_clock::now();
  contender.optimizer->zero_grad();
  torch::nn::functional::cross_entropy(contender.forward(x), labels).backward();
  contender.optimizer->step();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Median over rounds of this round's ratio to the first contender: what a drifting machine does to both cancels.
double ratio(const Contender& contender, const Contender& base) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < base.times.size(); ++i) ratios.push_back(contender.times[i] / base.times[i]);
  return median(ratios);
}

Contender executor_contender(const std::string& name, const std::string& method, const Settings& settings,
                             const torch::Tensor& x) {
  nnq::train::Executor::Options how;
  how.channels_last = settings.channels_last;
  auto executor = std::make_shared<nnq::train::Executor>(resnet20(method, settings.bits), how);
  if (!method.empty()) executor->calibrate({x});
  std::vector<torch::Tensor> parameters;
  for (const nnq::train::Parameter& parameter : executor->parameters())
    if (parameter.trainable) parameters.push_back(*parameter.tensor);
  return {name,
          [executor](const torch::Tensor& in) {
            return executor->forward({{"x", in}}, true)[0];
          },
          std::make_unique<torch::optim::SGD>(parameters, options()),
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
    fmt::print("ResNet-20, batch {}, {} threads, median of {} rounds\n{:<24}{:>10}{:>12}{:>14}\n", settings.batch,
               nnq::train::threads(), settings.rounds, "", "ms/step", "vs module", "vs executor");
  for (const Contender& contender : contenders) {
    const double ms = median(contender.times), to_module = ratio(contender, module), to_graph = ratio(contender, graph);
    rows.push_back(
        {{"name", contender.name}, {"median_ms", ms}, {"time_vs_module", to_module}, {"time_vs_executor", to_graph}});
    if (!settings.json) fmt::print("{:<24}{:>10.1f}{:>12.3f}{:>14.3f}\n", contender.name, ms, to_module, to_graph);
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
    for (const std::string& method : settings.methods)
      contenders.push_back(executor_contender(fmt::format("executor, {} W{}A{}", method, settings.bits, settings.bits),
                                              method, settings, x));
    for (Contender& contender : contenders) step(contender, x, labels);  // warm up
    for (int round = 0; round < settings.rounds; ++round)
      for (Contender& contender : contenders) contender.times.push_back(step(contender, x, labels));
    print(contenders, settings);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_train_throughput: {}\n", error.what());
    return 2;
  }
}
