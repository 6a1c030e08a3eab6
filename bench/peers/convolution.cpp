// 3 x 3 convolutions of ResNet's four stages, batch 1.
#include <algorithm>

#include "float_libraries.h"
#include "nnq_layer.h"
#include "onednn.h"
#include "onnxruntime_layer.h"
#include "workloads.h"

namespace nnq::peers {
namespace {

/// Layers of a chain: 32, fewer where float weights of so many would pass 64 MB.
int layers_of(const LayerShape& s) {
  return static_cast<int>(std::clamp<std::int64_t>((std::int64_t{64} << 20) / (4 * s.out * s.taps()), 4, 32));
}

std::vector<Goal> goals(bool quick) {
  using Kind = Goal::Kind;
  const std::vector<std::string> int8{"oneDNN int8*", "ONNX Runtime int8 u8s8", "XNNPACK int8*"};
  std::vector<Goal> g{{Kind::faster, "W1A1", int8, 2.5},
                      {Kind::faster, "W1A1", {"ONNX Runtime int8 u8s8"}, 4},
                      {Kind::faster, "W1A1", {"ONNX Runtime fp32"}, 15},
                      {Kind::faster, "W8A8", {"oneDNN int8 u8s8"}, 0.97},
                      {Kind::faster, "W8A8", {"ONNX Runtime int8 u8s8"}, 1.05},
                      {Kind::faster, "W8A8 signed", {"oneDNN int8 s8s8"}, 0.97},
                      {Kind::faster, "W8A8 signed", {"ONNX Runtime int8 s8s8"}, 12},
                      {Kind::faster, "W4A8", {"nnq W8A8"}, 0.95},
                      {Kind::faster, "W4A4", {"nnq W8A8"}, 0.95},
                      {Kind::faster, "W2A2", {"nnq W4A4"}, 0.95},
                      {Kind::faster, "W1A1", {"nnq W2A2"}, 0.95}};
  if (quick) return g;
  for (const char* of : {"W3A4", "W3A8", "W4A6"}) g.push_back({Kind::faster, of, {"nnq W8A8"}, 0.95});
  g.push_back({Kind::faster, "W1A2", {"nnq W2A2"}, 0.95});
  return g;
}

Workload convolution(const Setting& setting, const LayerShape& shape, double percent) {
  const int layers = layers_of(shape);
  Workload w;
  w.name = "convolution 3x3, " + std::to_string(shape.size) + "x" + std::to_string(shape.size) + "x" +
           std::to_string(shape.in);
  w.operations = shape.operations();
  w.note =
      "nnq and ONNX Runtime: chains of " + std::to_string(layers) +
      " layers with weights of their own, codes to codes, less an empty program; oneDNN and XNNPACK reuse one warm "
      "weight tensor.";
  std::vector<Precision> precisions{uniform(1, 1), uniform(2, 2), uniform(4, 4), uniform(4, 8), uniform(8, 8)};
  if (!setting.quick)
    precisions = {uniform(1, 1), uniform(1, 2), uniform(2, 2), uniform(3, 4), uniform(4, 4),
                  uniform(4, 6), uniform(3, 8), uniform(4, 8), uniform(7, 8), uniform(8, 8)};
  for (const Precision& p : precisions) {
    const Layer layer(shape, p, 1);
    Contender c = nnq_chain(layer, layers);
    c.check = nnq_sums(layer) == onednn_sums(layer) ? "equal" : "SUMS DIFFER";
    w.contenders.push_back(c);
  }
  const Layer eight(shape, uniform(8, 8), 1), signed_eight(shape, uniform(8, 8, true), 1);
  const std::vector<std::int32_t> sums = onednn_sums(eight), signed_sums = onednn_sums(signed_eight);
  Contender s8 = nnq_chain(signed_eight, layers);
  s8.what = "W8A8 signed";
  s8.check = nnq_sums(signed_eight) == signed_sums ? "equal" : "SUMS DIFFER";
  w.contenders.push_back(s8);
  for (const OneDnnForm form :
       {OneDnnForm::u8s8, OneDnnForm::u8s8_winograd, OneDnnForm::real, OneDnnForm::real_winograd})
    add(w, onednn(eight, form, sums));
  add(w, onednn(signed_eight, OneDnnForm::s8s8, signed_sums));
  w.contenders.push_back(onnxruntime(setting.runtime, eight, OrtForm::u8s8, layers, sums));
  w.contenders.push_back(onnxruntime(setting.runtime, signed_eight, OrtForm::s8s8, std::min(layers, 8), signed_sums));
  w.contenders.push_back(onnxruntime(setting.runtime, eight, OrtForm::real, layers, sums));
  w.contenders.push_back(xnnpack(eight, false, sums));
  w.contenders.push_back(xnnpack(signed_eight, true, signed_sums));
  w.goals = goals(setting.quick);
  w.ceiling_goals = {{"W1A1", percent}};
  return w;
}

}  // namespace

std::vector<Task> convolution_tasks() {
  struct Row {
    std::int64_t size, channels;
    double percent;  // of the binary ceiling, as the goal says
    bool quick;
  };
  std::vector<Task> tasks;
  for (const Row& row : {Row{56, 64, 82, false}, {28, 128, 87, false}, {14, 256, 88, true}, {7, 512, 85, false}}) {
    const LayerShape shape{.batch = 1, .size = row.size, .in = row.channels, .out = row.channels, .kernel = 3};
    tasks.push_back({"convolution", "convolution " + std::to_string(row.size), row.quick,
                     [shape, percent = row.percent](const Setting& s) { return convolution(s, shape, percent); }});
  }
  return tasks;
}

}  // namespace nnq::peers
