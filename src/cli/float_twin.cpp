#include "cli/float_twin.h"

#include <algorithm>
#include <chrono>

#include "nnq/error.h"

namespace nnq::cli {
namespace {

/// Numbers that are neither subnormal nor NaN: those take longer.
Tensor filled(const Shape& shape, float value) {
  Tensor t(DType::f32, shape);
  std::ranges::fill(t.mutable_values<float>(), value);
  return t;
}

/// One Conv or Gemm on an input of `shape` (ONNX order).
Program twin(const Step& step, const Shape& shape) {
  const bool convolution = step.kind == StepKind::convolution || step.kind == StepKind::plane_convolution;
  const Window& w = step.window;
  Program p;
  const auto value = [&](const char* name, const Shape& s) {
    return p.add_value({name, ValueKind::tensor, ValueType::of(DType::f32, s), {}});
  };
  const Shape weights = convolution ? Shape{step.out_channels, step.in_channels / step.groups, w.kernel_h, w.kernel_w}
                                    : Shape{step.out_channels, step.in_channels};
  p.inputs = {value("x", shape)};
  const std::int32_t weight = value("w", weights);
  p.constants[weight] = filled(weights, 0.25F);
  p.outputs = {p.add_value({"y", ValueKind::tensor, ValueType{}, {}})};
  p.values.back().type.dtype = DType::f32;
  Step layer;
  layer.inputs = {p.inputs[0], weight};
  layer.outputs = p.outputs;
  layer.node = Node{.name = "twin",
                    .op = convolution ? "Conv" : "Gemm",
                    .domain = "",
                    .inputs = {"x", "w"},
                    .outputs = {"y"},
                    .attributes = {}};
  using List = std::vector<std::int64_t>;
  if (convolution) {
    layer.node.attributes = {{"strides", List{w.stride_h, w.stride_w}},
                             {"dilations", List{w.dilation_h, w.dilation_w}},
                             {"pads", List{w.pad_top, w.pad_left, w.pad_bottom, w.pad_right}},
                             {"group", step.groups}};
  } else {
    layer.node.attributes = {{"transB", std::int64_t{1}}};
  }
  p.steps = {layer};
  return p;
}

double time(const Program& program, int threads) {
  using Clock = std::chrono::steady_clock;
  std::shared_ptr<const Model> model;
  throw_if_error(Model::from_program(program, model), "float layer");
  std::unique_ptr<Session> session;
  Session::Options options;
  options.threads = threads;
  throw_if_error(Session::create(model, options, session), "float layer");
  const std::vector<Tensor> inputs = {filled(model->inputs()[0].type.static_shape(), 0.5F)};
  std::vector<Tensor> outputs;
  throw_if_error(session->run(inputs, outputs), "float layer");
  std::vector<double> times;
  const auto begin = Clock::now();
  do {
    const auto start = Clock::now();
    throw_if_error(session->run(inputs, outputs), "float layer");
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  } while (times.size() < 25 && Clock::now() - begin < std::chrono::milliseconds(60));
  return *std::min_element(times.begin(), times.end());
}

}  // namespace

double FloatTwins::microseconds(const Program& program, const StepInfo& info) {
  const Step& step = program.steps[static_cast<std::size_t>(info.step)];
  const bool convolution = step.kind == StepKind::convolution || step.kind == StepKind::plane_convolution;
  if (!convolution && step.kind != StepKind::dense && step.kind != StepKind::plane_dense) return 0;
  const Shape& in = info.input_shape;
  if (in.empty() || (convolution && in.size() != 4) || *checked_count(in) == 0) return 0;
  const Shape shape = convolution ? Shape{in[0], in[3], in[1], in[2]} : Shape{in[0], step.in_channels};
  const Window& w = step.window;
  std::string key = to_string(shape);
  for (const std::int64_t v : {step.out_channels, step.groups, w.kernel_h, w.kernel_w, w.stride_h, w.stride_w,
                               w.dilation_h, w.dilation_w, w.pad_top, w.pad_left, w.pad_bottom, w.pad_right})
    key += " " + std::to_string(v);
  const auto [it, fresh] = known_.try_emplace(key, 0);
  if (fresh) it->second = time(twin(step, shape), threads_);
  return it->second;
}

}  // namespace nnq::cli
