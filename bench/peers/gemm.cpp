// Matrix products: 1024 x 1024 x 1024 at every precision, and few rows against 4-bit peers.
#include "agreement.h"
#include "float_libraries.h"
#include "nnq_layer.h"
#include "onednn.h"
#include "onnxruntime_layer.h"
#include "workloads.h"

namespace nnq::peers {
namespace {

constexpr int layers = 8;  // of a chain

/// nnq's layer in a chain, after its sums were compared with oneDNN's float product of the same integers.
Contender checked_chain(const LayerShape& shape, const Precision& precision, int copies = layers) {
  const Layer layer(shape, precision, 1);
  const std::vector<std::int32_t> sums = nnq_sums(layer), theirs = onednn_sums(layer);
  Contender c = nnq_chain(layer, copies);
  c.check = sums == theirs ? "equal" : "SUMS DIFFER";
  return c;
}

/// Goals of a cube; `quick`: of the contenders that the quick run has.
void set_goals(Workload& w, bool quick) {
  using Kind = Goal::Kind;
  const std::vector<std::string> int8{"oneDNN int8 u8s8"}, fp32{"oneDNN fp32"};
  w.goals = {{Kind::faster, "W1A1, int32 out", fp32, 20},
             {Kind::faster, "W1A1, int32 out", int8, 5},
             {Kind::gops, "W1A1, bits out", {}, 950, "avx2"},
             {Kind::gops, "W1A1, int32 out", {}, 950, "avx2"},
             {Kind::faster, "W1A1, int32 out", int8, 4.2, "avx2"},
             {Kind::gops, "ternary, A1", {}, 2000},
             {Kind::faster, "ternary, A1", int8, 4.5},
             {Kind::gops, "W1A2", {}, 1300},
             {Kind::faster, "W1A2", int8, 2.8},
             {Kind::gops, "W2A2", {}, 850},
             {Kind::faster, "W2A2", int8, 1.9},
             {Kind::faster, "W8A8", int8, 0.97},
             {Kind::faster, "W8A8", {"ONNX Runtime int8 u8s8"}, 1.05},
             {Kind::faster, "W8A8 signed", {"oneDNN int8 s8s8"}, 0.97},
             {Kind::faster, "W8A8 signed", {"ONNX Runtime int8 s8s8"}, 12}};
  if (!quick) {
    for (const char* of : {"W4A8", "ternary, A8"}) w.goals.push_back({Kind::gops, of, {}, 400});
    w.goals.push_back({Kind::faster, "W4A8", {"ONNX Runtime 4 bits*"}, 2.2});
  }
  w.ceiling_goals = {{"W1A1, int32 out", 90}, {"W1A1, bits out", 94}};
}

Workload cube(const Setting& setting, std::int64_t size) {
  const LayerShape shape{.batch = size, .in = size, .out = size};
  Workload w;
  w.name = "GEMM " + std::to_string(size) + "^3";
  w.operations = shape.operations();
  w.note = "nnq and ONNX Runtime: chains of " + std::to_string(layers) +
           " layers, codes to codes, less an empty program; the libraries called alone reuse one warm weight "
           "matrix. int32 out: the step alone between two float steps, best of a sample.";
  Contender sums = nnq_sums_only(Layer(shape, uniform(1, 1), 1));
  Contender bits = checked_chain(shape, uniform(1, 1));
  sums.check = bits.check;
  bits.what = "W1A1, bits out";
  w.contenders = {bits, sums};
  std::vector<Precision> precisions{ternary(1), uniform(1, 2), uniform(2, 2), uniform(8, 8)};
  if (!setting.quick)
    precisions = {ternary(1),    uniform(1, 2), uniform(2, 2), uniform(4, 4), ternary(8),
                  uniform(2, 8), uniform(4, 8), uniform(7, 8), uniform(8, 8)};
  for (const Precision& p : precisions) w.contenders.push_back(checked_chain(shape, p));
  const Layer eight(shape, uniform(8, 8), 1), signed_eight(shape, uniform(8, 8, true), 1);
  const std::vector<std::int32_t> eight_sums = onednn_sums(eight), signed_sums = onednn_sums(signed_eight);
  Contender s8 = nnq_chain(signed_eight, layers);
  s8.what = "W8A8 signed";
  s8.check = nnq_sums(signed_eight) == signed_sums ? "equal" : "SUMS DIFFER";
  w.contenders.push_back(s8);
  for (const OneDnnForm form : {OneDnnForm::u8s8_sums, OneDnnForm::u8s8, OneDnnForm::real})
    add(w, onednn(eight, form, eight_sums));
  add(w, onednn(signed_eight, OneDnnForm::s8s8, signed_sums));
  w.contenders.push_back(onnxruntime(setting.runtime, eight, OrtForm::u8s8, layers, eight_sums));
  w.contenders.push_back(onnxruntime(setting.runtime, signed_eight, OrtForm::s8s8, 1, signed_sums));
  w.contenders.push_back(onnxruntime(setting.runtime, eight, OrtForm::real, layers, eight_sums));
  w.contenders.push_back(openblas(eight, eight_sums));
  w.contenders.push_back(xnnpack(eight, false, eight_sums));
  w.contenders.push_back(xnnpack(signed_eight, true, signed_sums));
  if (!setting.quick) w.contenders.push_back(onnxruntime_nbits(setting.runtime, Layer(shape, uniform(4, 8), 1), 128));

  set_goals(w, setting.quick);
  return w;
}

/// A product too large for any cache, of the precisions that have a goal there.
Workload large_cube(const Setting& setting) {
  constexpr int copies = 2;  // a layer of 8 bits takes a second
  const LayerShape shape{.batch = 4096, .in = 4096, .out = 4096};
  Workload w;
  w.name = "GEMM 4096^3";
  w.operations = shape.operations();
  w.note = "As GEMM 1024^3, in chains of " + std::to_string(copies) + " layers.";
  Contender bits = checked_chain(shape, uniform(1, 1), copies), sums = nnq_sums_only(Layer(shape, uniform(1, 1), 1));
  sums.check = bits.check;
  bits.what = "W1A1, bits out";
  w.contenders = {bits, sums, checked_chain(shape, uniform(2, 2), copies), checked_chain(shape, uniform(8, 8), copies)};
  const Layer eight(shape, uniform(8, 8), 1);
  const std::vector<std::int32_t> expected = onednn_sums(eight);
  add(w, onednn(eight, OneDnnForm::u8s8_sums, expected));
  add(w, onednn(eight, OneDnnForm::u8s8, expected));
  add(w, onednn(eight, OneDnnForm::real, expected));
  w.contenders.push_back(onnxruntime(setting.runtime, eight, OrtForm::u8s8, copies, expected));
  using Kind = Goal::Kind;
  w.goals = {{Kind::faster, "W1A1, int32 out", {"oneDNN fp32"}, 20},
             {Kind::faster, "W1A1, int32 out", {"oneDNN int8 u8s8"}, 5},
             {Kind::gops, "W1A1, int32 out", {}, 950, "avx2"},
             {Kind::faster, "W8A8", {"oneDNN int8 u8s8"}, 0.97},
             {Kind::faster, "W8A8", {"ONNX Runtime int8 u8s8"}, 1.05}};
  w.ceiling_goals = {{"W1A1, int32 out", 90}, {"W1A1, bits out", 94}};
  return w;
}

/// M = 16: a few positions or tokens at once.
Workload few_rows(const Setting& setting) {
  const LayerShape shape{.batch = 16, .in = 1024, .out = 4096};
  Workload w;
  w.name = "GEMM 16 x 1024 to 4096";
  w.operations = shape.operations();
  w.note =
      "Floats in, floats out: nnq quantizes with a fixed scale, ONNX Runtime with one found on the way; oneDNN "
      "takes codes and gives sums.";
  for (const Precision& p : {uniform(1, 1), uniform(2, 2), ternary(8), uniform(2, 8), uniform(4, 8), uniform(8, 8)}) {
    const Layer layer(shape, p, 1);
    Contender c = nnq_float_to_float(layer);
    c.check = nnq_sums(layer) == onednn_sums(layer) ? "equal" : "SUMS DIFFER";
    w.contenders.push_back(c);
  }
  const Layer eight(shape, uniform(8, 8), 1), four(shape, uniform(4, 8), 1);
  const std::vector<std::int32_t> sums = onednn_sums(eight);
  add(w, onednn(eight, OneDnnForm::u8s8_sums, sums));
  add(w, onednn(eight, OneDnnForm::real, sums));
  for (const int block : {128, 32}) w.contenders.push_back(onnxruntime_nbits(setting.runtime, four, block));
  w.contenders.push_back(onnxruntime_dynamic(setting.runtime, eight));
  w.contenders.push_back(openblas(eight, sums));
  using Kind = Goal::Kind;
  w.goals = {{Kind::gops, "W4A8", {}, 400},
             {Kind::gops, "ternary, A8", {}, 400},
             {Kind::faster, "W4A8", {"ONNX Runtime 4 bits*"}, 2.2},
             {Kind::faster, "W4A8", {"nnq W8A8"}, 0.95},
             {Kind::faster, "W2A8", {"nnq W4A8"}, 0.95},
             {Kind::faster, "W1A1", {"nnq W2A2"}, 0.95}};
  return w;
}

}  // namespace

std::vector<Task> gemm_tasks() {
  return {{"gemm", "GEMM 1024^3", true, [](const Setting& s) { return cube(s, 1024); }},
          {"gemm", "GEMM 4096^3", false, large_cube},
          {"gemm", "GEMM 16 x 1024 to 4096", false, few_rows}};
}

}  // namespace nnq::peers
