// Matrix times vector: recurrent and fully connected layers at batch 1, bound by the memory that weights come from.
#include "float_libraries.h"
#include "nnq_layer.h"
#include "onednn.h"
#include "onnxruntime_layer.h"
#include "workloads.h"

namespace nnq::peers {
namespace {

Workload matvec(const Setting& setting, std::int64_t in) {
  const LayerShape shape{.batch = 1, .in = in, .out = 4096};
  Workload w;
  w.name = "matvec 4096 x " + std::to_string(in);
  w.operations = shape.operations();
  w.note =
      "Floats in, floats out. nnq quantizes the vector with a fixed scale, ONNX Runtime's int8 and 4-bit products "
      "with one found on the way; oneDNN's int8 takes codes and gives sums. One weight matrix, as warm as the caches "
      "keep it.";
  for (const Precision& p :
       {uniform(1, 1), uniform(2, 2), ternary(8), uniform(2, 8), uniform(3, 8), uniform(4, 8), uniform(8, 8)}) {
    const Layer layer(shape, p, 1);
    Contender c = nnq_float_to_float(layer);
    c.check = nnq_sums(layer) == onednn_sums(layer) ? "equal" : "SUMS DIFFER";
    w.contenders.push_back(c);
  }
  const Layer eight(shape, uniform(8, 8), 1), signed_eight(shape, uniform(8, 8, true), 1),
      four(shape, uniform(4, 8), 1);
  const std::vector<std::int32_t> sums = onednn_sums(eight);
  add(w, onednn(eight, OneDnnForm::u8s8_sums, sums));
  add(w, onednn(eight, OneDnnForm::real, sums));
  w.contenders.push_back(onnxruntime_dynamic(setting.runtime, eight));
  for (const int block : {128, 32}) w.contenders.push_back(onnxruntime_nbits(setting.runtime, four, block));
  w.contenders.push_back(onnxruntime(setting.runtime, eight, OrtForm::real, 1, sums));
  w.contenders.push_back(openblas(eight, sums));
  w.contenders.push_back(xnnpack(eight, false, sums));
  w.contenders.push_back(xnnpack(signed_eight, true, onednn_sums(signed_eight)));
  using Kind = Goal::Kind;
  const bool small = in == 1024;
  w.goals = {{Kind::at_most_ms, "W4A8", {}, small ? 0.026 : 0.11},
             {Kind::faster, "W4A8", {"ONNX Runtime 4 bits*"}, small ? 2.2 : 1.8},
             {Kind::faster, "W4A8", {"oneDNN int8*"}, 2},
             {Kind::faster, "W2A2", {"OpenBLAS fp32 sgemv"}, 20},
             {Kind::faster, "W4A8", {"nnq W8A8"}, 0.95},
             {Kind::faster, "W2A8", {"nnq W4A8"}, 0.95},
             {Kind::faster, "W1A1", {"nnq W2A2"}, 0.95}};
  if (small) w.goals.push_back({Kind::at_most_ms, "W1A1", {}, 0.008});
  return w;
}

}  // namespace

std::vector<Task> matvec_tasks() {
  return {{"matvec", "matvec 4096 x 1024", true, [](const Setting& s) { return matvec(s, 1024); }},
          {"matvec", "matvec 4096 x 4096", false, [](const Setting& s) { return matvec(s, 4096); }}};
}

}  // namespace nnq::peers
