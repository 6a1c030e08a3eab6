#include "onnxruntime_layer.h"

#include <algorithm>
#include <cmath>

#include "agreement.h"
#include "contrib.h"
#include "onednn.h"

namespace nnq::peers {
namespace {

template <class T, class From>
Tensor tensor(const Shape& shape, const std::vector<From>& values) {
  Tensor t(dtype_of<T>(), shape);
  T* to = t.mutable_as<T>();
  for (const From value : values) *to++ = static_cast<T>(value);
  return t;
}

Shape input_shape(const LayerShape& s) {
  return s.dense() ? Shape{s.batch, s.in} : Shape{s.batch, s.in, s.size, s.size};
}

Tensor input_of(const Layer& layer, OrtForm form) {
  const Shape shape = input_shape(layer.shape);
  const std::vector<std::int16_t> codes = layer.onnx_input();
  if (form == OrtForm::real) return tensor<float>(shape, codes);
  return form == OrtForm::u8s8 ? tensor<std::uint8_t>(shape, codes) : tensor<std::int8_t>(shape, codes);
}

/// Weights as ONNX has them: [in, out] of a product, [out, in, kernel, kernel].
template <class T>
Tensor weights_of(const Layer& layer) {
  const LayerShape& s = layer.shape;
  if (s.dense()) return tensor<T>({s.in, s.out}, channels_first(layer.integers, 1, s.out, s.in));
  return tensor<T>({s.out, s.in, s.kernel, s.kernel}, layer.onnx_weights());
}

/// `count` layers; none: an Identity.
Graph chain(const Layer& layer, OrtForm form, int count) {
  const LayerShape& s = layer.shape;
  Graph graph;
  graph.opset = 17;
  graph.inputs.push_back({"x", ValueType::of(input_of(layer, form).dtype(), input_shape(s))});
  std::map<std::string, Attribute> attributes;
  if (!s.dense())
    attributes = {{"kernel_shape", std::vector<std::int64_t>{s.kernel, s.kernel}},
                  {"pads", std::vector<std::int64_t>(4, s.pad())}};
  const auto scalar = [&](const char* name, auto value) { return graph.add_initializer(name, Tensor::scalar(value)); };
  std::string at = "x";
  if (count == 0) at = graph.add("Identity", {at});
  std::string one, scale, zero, zero_weight;
  if (form != OrtForm::real) {
    one = scalar("one", 1.0F);
    scale = scalar("scale", std::ldexp(1.0F, -layer.shift()));
    zero = form == OrtForm::u8s8 ? scalar("zero", std::uint8_t{0}) : scalar("zero", std::int8_t{0});
    zero_weight = scalar("zero_weight", std::int8_t{0});
  }
  for (int i = 0; i < count; ++i) {
    const std::string w = "w" + std::to_string(i);
    if (form == OrtForm::real) {
      Tensor real = weights_of<float>(layer);
      // A chain must neither grow nor die away; the first layer is compared as it is.
      if (count > 1)
        for (float& v : real.mutable_values<float>()) v = std::ldexp(v, -layer.shift());
      graph.initializers[w] = real;
      at = graph.add(s.dense() ? "MatMul" : "Conv", {at, w}, attributes);
    } else {
      graph.initializers[w] = weights_of<std::int8_t>(layer);
      at = graph.add(s.dense() ? "QLinearMatMul" : "QLinearConv", {at, one, zero, w, scale, zero_weight, one, zero},
                     attributes);
    }
  }
  graph.outputs = {at};
  return graph;
}

/// NHWC.
std::vector<float> result(const LayerShape& s, const Tensor& output) {
  std::vector<float> values(static_cast<std::size_t>(output.count()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = output.dtype() == DType::f32  ? output.as<float>()[i]
                : output.dtype() == DType::u8 ? static_cast<float>(output.as<std::uint8_t>()[i])
                                              : static_cast<float>(output.as<std::int8_t>()[i]);
  return s.dense() ? values : channels_first(values, s.batch, s.out, s.size * s.size);
}

Graph one_product(const Layer& layer) {
  Graph graph = chain(layer, OrtForm::real, 1);
  graph.opset = 17;
  return graph;
}

}  // namespace

Contender onnxruntime(OnnxRuntime& runtime, const Layer& layer, OrtForm form, int count,
                      const std::vector<std::int32_t>& sums) {
  const std::map<std::string, Tensor> feeds{{"x", input_of(layer, form)}};
  const std::vector<float> got = result(layer.shape, runtime.load_graph(chain(layer, form, 1), feeds)->outputs().at(0));
  Contender c;
  c.who = "ONNX Runtime";
  c.what = form == OrtForm::real ? "fp32" : form == OrtForm::u8s8 ? "int8 u8s8" : "int8 s8s8";
  c.check = form == OrtForm::real ? agreement(got, std::vector<float>(sums.begin(), sums.end()))
                                  : agreement(got, requantized(sums, layer.shift(), form == OrtForm::s8s8));
  if (form != OrtForm::real && c.check != "equal" && layer.precision.weight_bits == 8) {
    const Layer seven(layer.shape, uniform(7, 8, form == OrtForm::s8s8), 1);
    c.check += "; 7-bit weights: " + onnxruntime(runtime, seven, form, 1, onednn_sums(seven)).check;
  }
  c.sample = less_empty(sampled(runtime.load_graph(chain(layer, form, count), feeds)),
                        sampled(runtime.load_graph(chain(layer, form, 0), feeds)), count);
  return c;
}

Contender onnxruntime_nbits(OnnxRuntime& runtime, const Layer& layer, int block) {
  const std::map<std::string, Tensor> feeds{{"x", input_of(layer, OrtForm::real)}};
  const std::vector<float> exact = result(layer.shape, runtime.load_graph(one_product(layer), feeds)->outputs().at(0));
  const auto loaded = runtime.load_bytes(matmul_nbits(one_product(layer), layer, block), feeds);
  Contender c;
  c.who = "ONNX Runtime";
  c.what = "4 bits, blocks of " + std::to_string(block);
  c.check = signal_to_noise(result(layer.shape, loaded->outputs().at(0)), exact);
  c.sample = less_empty(sampled(loaded), sampled(runtime.load_graph(chain(layer, OrtForm::real, 0), feeds)), 1);
  return c;
}

Contender onnxruntime_dynamic(OnnxRuntime& runtime, const Layer& layer) {
  const std::map<std::string, Tensor> feeds{{"x", input_of(layer, OrtForm::real)}};
  const std::vector<float> exact = result(layer.shape, runtime.load_graph(one_product(layer), feeds)->outputs().at(0));
  Graph graph;
  graph.opset = 17;
  graph.inputs.push_back({"x", ValueType::of(DType::f32, input_shape(layer.shape))});
  graph.initializers["w"] = weights_of<std::int8_t>(layer);
  graph.initializers["w_scale"] = Tensor::scalar(1.0F);
  graph.add(Node{.name = "quantize",
                 .op = "DynamicQuantizeLinear",
                 .domain = "",
                 .inputs = {"x"},
                 .outputs = {"q", "q_scale", "q_zero"},
                 .attributes = {}});
  graph.initializers["w_zero"] = Tensor::scalar(std::int8_t{0});
  const std::string sums = graph.add("MatMulInteger", {"q", "w", "q_zero", "w_zero"});
  const std::string scale = graph.add("Mul", {"q_scale", "w_scale"});
  graph.outputs = {graph.add("Mul", {graph.add("Cast", {sums}, {{"to", std::int64_t{1}}}), scale})};
  const auto loaded = runtime.load_graph(graph, feeds);
  Contender c;
  c.who = "ONNX Runtime";
  c.what = "int8 dynamic";
  c.check = signal_to_noise(result(layer.shape, loaded->outputs().at(0)), exact);
  c.sample = less_empty(sampled(loaded), sampled(runtime.load_graph(chain(layer, OrtForm::real, 0), feeds)), 1);
  return c;
}

}  // namespace nnq::peers
