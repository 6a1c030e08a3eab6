// Whole networks, batch 1, from one ONNX file each: VGG-small (CIFAR), ResNet-18 and MobileNet-v1 at 224 x 224.
#include "agreement.h"
#include "core/random.h"
#include "kernels/cpu.h"
#include "nnq/error.h"
#include "nnq/lower.h"
#include "nnq/onnx.h"
#include "nnq/passes.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "nnq/zoo.h"
#include "quantized_network.h"
#include "workloads.h"

namespace nnq::peers {
namespace {

namespace fs = std::filesystem;

struct Network {
  std::string name, zoo;
  std::map<std::string, std::string> parameters;
  Shape input;
  std::vector<NetworkBits> bits;
  std::vector<Goal> goals;
};

std::string title(const NetworkBits& bits) {
  return "W" + std::to_string(bits.weights) + "A" + std::to_string(bits.activations);
}

struct Runs {
  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> session;
  std::vector<Tensor> inputs, outputs;
  explicit Runs(const std::string& file) {
    throw_if_error(Model::load(file, {}, model), file);
    throw_if_error(Session::create(model, {.threads = 1}, session), file);
  }
  void run() { throw_if_error(session->run(inputs, outputs), "a network"); }
};

/// The step that takes most of the time, for the reader who asks where it goes.
std::string slowest_step(Session& session, const std::vector<Tensor>& inputs) {
  std::vector<StepInfo> steps;
  double milliseconds = 0, sum = 0;
  throw_if_error(session.profile(inputs, 15, steps, milliseconds), "profile of a network");
  const StepInfo* slowest = nullptr;
  for (const StepInfo& step : steps) {
    sum += step.median_microseconds;
    if (slowest == nullptr || step.median_microseconds > slowest->median_microseconds) slowest = &step;
  }
  if (slowest == nullptr || sum <= 0) return "";
  return "slowest step " + slowest->name + " (" + (slowest->kernel.empty() ? slowest->kind : slowest->kernel) + "), " +
         std::to_string(static_cast<int>(100 * slowest->median_microseconds / sum)) + " % of the time";
}

Contender nnq_contender(const Setting& setting, const Graph& graph, const fs::path& stem, const std::string& what,
                        const std::map<std::string, Tensor>& feeds) {
  const std::string file = stem.string() + ".nnq";
  Contender c;
  c.who = "nnq";
  c.what = what;
  c.bytes = static_cast<double>(write_program(lower(graph), file));
  const auto runs = std::make_shared<Runs>(file);
  runs->inputs = {feeds.begin()->second};
  runs->run();
  // The same graph in ONNX Runtime: what nnq's own operators mean is written in standard operators.
  const auto judge = setting.runtime.load_graph(graph, feeds);
  c.check =
      closeness(runs->outputs[0].values<float>(), judge->outputs().at(0).values<float>(), 1e-3) + ", in ONNX Runtime";
  c.kernel = slowest_step(*runs->session, runs->inputs);
  c.set_steps(*runs->session);
  c.sample = in_process([runs] { runs->run(); });
  return c;
}

Workload whole(const Setting& setting, const Network& network) {
  const fs::path stem = setting.folder / network.zoo, file = stem.string() + ".onnx";
  export_onnx(build_zoo(network.zoo, network.parameters), file);
  const Graph graph = import_onnx(file);
  Random random(1);
  Tensor x(DType::f32, network.input);
  for (float& v : x.mutable_values<float>()) v = static_cast<float>(random.normal());
  const std::map<std::string, Tensor> feeds{{graph.inputs[0].name, x}};
  const Graph folded = simplify(fold_batch_norm(graph));
  Ranges ranges = observed_ranges(folded, feeds);
  ranges.merge(observed_ranges(graph, feeds));

  Workload w;
  w.name = network.name;
  w.note =
      "One ONNX file for all, weights as initialised (times do not depend on them); nnq: quantizers placed and frozen, "
      "first and last layer and shortcuts at 8 bits; ONNX Runtime int8: QDQ, unsigned codes, a scale a channel";
  const auto real = setting.runtime.load(file, feeds);
  const Tensor logits = real->outputs().at(0);
  for (const NetworkBits& bits : network.bits) {
    std::string reduced;
    w.contenders.push_back(nnq_contender(setting, nnq_network(graph, ranges, bits, &reduced),
                                         stem.string() + "_" + title(bits), title(bits), feeds));
    if (!reduced.empty()) w.contenders.back().check += "; bits of wide layers: " + reduced;
  }
  w.contenders.push_back(nnq_contender(setting, folded, stem.string() + "_fp32", "fp32", feeds));

  const bool vnni = hardware_isa() == Isa::avx512;
  w.note += vnni ? "." : ", weights of 7 bits as ONNX Runtime advises without VNNI (its 8-bit products saturate).";
  const fs::path qdq = stem.string() + "_qdq.onnx";
  Contender int8, fp32;
  int8.who = fp32.who = "ONNX Runtime";
  fp32.what = "fp32";
  fp32.check = "the reference";
  fp32.sample = sampled(real);
  fp32.bytes = static_cast<double>(fs::file_size(file));
  int8.what = "int8";
  int8.bytes = static_cast<double>(export_onnx(qdq_network(folded, ranges, vnni ? 8 : 7), qdq));
  const auto loaded = setting.runtime.load(qdq, feeds);
  int8.check = signal_to_noise(loaded->outputs().at(0).values<float>(), logits.values<float>());
  int8.sample = sampled(loaded);
  w.contenders.push_back(int8);
  w.contenders.push_back(fp32);
  w.goals = network.goals;
  return w;
}

constexpr NetworkBits w8a8{8, 8}, w7a8{7, 8}, w4a8{4, 8}, w4a4{4, 4}, w2a2{2, 2}, w1a1{1, 1};
const std::vector<std::string> ort_int8{"ONNX Runtime int8"}, ort_fp32{"ONNX Runtime fp32"};

std::vector<Network> networks() {
  using Kind = Goal::Kind;
  const auto faster = [](const char* of, const std::vector<std::string>& against, double limit) {
    return Goal{Kind::faster, of, against, limit};
  };
  const std::vector<Goal> monotone{faster("W1A1", {"nnq W2A2"}, 0.95), faster("W2A2", {"nnq W4A4"}, 0.95),
                                   faster("W4A4", {"nnq W8A8"}, 0.95)};
  std::vector<Goal> vgg{faster("W1A1", ort_int8, 3.4), faster("W1A1", ort_fp32, 13), faster("W2A2", ort_int8, 2)},
      resnet{faster("W1A1", ort_int8, 3), faster("W1A1", ort_fp32, 10), faster("W2A2", ort_int8, 2),
             faster("W8A8", ort_int8, 1.1)};
  vgg.insert(vgg.end(), monotone.begin(), monotone.end());
  resnet.insert(resnet.end(), monotone.begin(), monotone.end());
  const std::vector<NetworkBits> all{w1a1, w2a2, w4a4, w4a8, w7a8, w8a8};
  return {{"VGG-small, CIFAR",
           "vgg_small",
           {{"fc", ""}, {"order", "standard"}, {"last_norm", "no"}, {"activation", "relu"}},
           {1, 3, 32, 32},
           all,
           vgg},
          {"ResNet-18, 224", "resnet18", {}, {1, 3, 224, 224}, all, resnet},
          {"MobileNet-v1, 224",
           "mobilenet_v1",
           {},
           {1, 3, 224, 224},
           {w4a8, w7a8, w8a8},
           {faster("W8A8", ort_int8, 1.25), faster("W4A8", ort_int8, 1.25), faster("W4A8", {"nnq W8A8"}, 0.95)}}};
}

}  // namespace

std::vector<Task> network_tasks() {
  std::vector<Task> tasks;
  for (const Network& network : networks())
    tasks.push_back({"networks", network.name, network.zoo == "vgg_small",
                     [network](const Setting& s) { return whole(s, network); }});
  return tasks;
}

}  // namespace nnq::peers
