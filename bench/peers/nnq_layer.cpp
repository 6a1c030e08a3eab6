#include "nnq_layer.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/random.h"
#include "nnq/error.h"
#include "nnq/runtime.h"

namespace nnq::peers {
namespace {

enum class Ending { codes, sums, floats };

ValueType type_of(const LayerShape& s, DType type, std::int64_t channels) {
  return ValueType::of(type, s.dense() ? Shape{s.batch, channels} : Shape{s.batch, channels, s.size, s.size});
}

void set_epilogue(const Layer& layer, Epilogue& e) {
  const CodeType& code = layer.precision.code;
  const auto channels = static_cast<std::size_t>(layer.shape.out);
  if (code.bits > 4) {
    e.kind = Epilogue::Kind::requantize;
    e.a.assign(channels, std::ldexp(1.0F, -layer.shift()));
    e.b.assign(channels, 0.0F);
    e.min = code.min;
    e.max = code.max;
    return;
  }
  e.kind = Epilogue::Kind::thresholds;
  e.levels = code.sign ? 1 : code.max - code.min;
  e.first = code.min;
  e.step = code.sign ? 2 : 1;
  e.direction.assign(channels, 1);
  Random random(5);
  for (std::size_t c = 0; c < channels; ++c) {
    const auto jitter = static_cast<std::int32_t>(random.below(9)) - 4;
    for (std::int32_t t = 0; t < e.levels; ++t)
      e.thresholds.push_back(
          code.sign ? jitter : static_cast<std::int32_t>(std::ldexp(code.min + t + 0.5, layer.shift())) + jitter);
  }
}

Program make_program(const Layer& layer, int count, Ending ending) {
  const LayerShape& s = layer.shape;
  Program program;
  const auto value = [&](ValueKind kind, DType type, std::int64_t channels) {
    return program.add_value({"v" + std::to_string(program.values.size()), kind, type_of(s, type, channels),
                              kind == ValueKind::codes ? layer.precision.code : CodeType{}});
  };
  std::int32_t at = value(ValueKind::tensor, DType::f32, s.in);
  program.inputs = {at};
  Step quantize;
  quantize.kind = StepKind::quantize;
  quantize.name = "quantize";
  quantize.inputs = {at};
  quantize.outputs = {at = value(ValueKind::codes, DType::f32, s.in)};
  program.steps.push_back(quantize);
  for (int i = 0; i < count; ++i) {
    Step step;
    step.kind = s.dense() ? StepKind::dense : StepKind::convolution;
    step.name = "layer" + std::to_string(i);
    step.inputs = {at};
    step.weights = layer.weights;
    step.out_channels = s.out;
    step.in_channels = s.in;
    step.window = {.kernel_h = s.kernel, .kernel_w = s.kernel};
    step.window.pad_top = step.window.pad_left = step.window.pad_bottom = step.window.pad_right = s.pad();
    if (ending == Ending::codes) set_epilogue(layer, step.epilogue);
    if (ending == Ending::floats) {
      step.epilogue.kind = Epilogue::Kind::affine;
      step.epilogue.a.assign(static_cast<std::size_t>(s.out), 0.5F);
      step.epilogue.b.assign(static_cast<std::size_t>(s.out), 0.0F);
    }
    at = ending == Ending::codes  ? value(ValueKind::codes, DType::f32, s.out)
         : ending == Ending::sums ? value(ValueKind::accumulator, DType::i32, s.out)
                                  : value(ValueKind::tensor, DType::f32, s.out);
    step.outputs = {at};
    program.steps.push_back(step);
  }
  if (ending != Ending::floats) {
    Step dequantize;
    dequantize.kind = StepKind::dequantize;
    dequantize.name = "dequantize";
    dequantize.inputs = {at};
    dequantize.outputs = {at = value(ValueKind::tensor, DType::f32, s.out)};
    dequantize.epilogue.kind = Epilogue::Kind::affine;
    dequantize.epilogue.a = {1};
    dequantize.epilogue.b = {0};
    program.steps.push_back(dequantize);
  }
  program.outputs = {at};
  return program;
}

struct Ready {
  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> session;
  std::vector<Tensor> inputs, outputs;

  Ready(const Layer& layer, Program program) {
    throw_if_error(check_program(program), "program of a layer");
    throw_if_error(Model::from_program(std::move(program), model), "program of a layer");
    throw_if_error(Session::create(model, {.threads = 1}, session), "session of a layer");
    const std::vector<std::int16_t> codes = layer.onnx_input();
    const LayerShape& s = layer.shape;
    Tensor x(DType::f32, s.dense() ? Shape{s.batch, s.in} : Shape{s.batch, s.in, s.size, s.size});
    std::copy(codes.begin(), codes.end(), x.mutable_values<float>().begin());
    inputs = {x};
    run();
  }
  void run() { throw_if_error(session->run(inputs, outputs), "a layer"); }
  std::string kernel_of(const std::string& name) const {
    for (const StepInfo& step : session->steps())
      if (step.name == name) return step.kernel;
    return "";
  }
};

}  // namespace

std::vector<std::int32_t> nnq_sums(const Layer& layer) {
  const Program program = make_program(layer, 1, Ending::sums);
  Ready ready(layer, program);
  const LayerShape& s = layer.shape;
  if (s.operations() < 1e9) {  // plain loops: small ones only, larger ones are compared with a peer's sums
    std::vector<Tensor> expected;
    throw_if_error(interpret_program(program, ready.inputs, expected), "interpreter");
    if (!(expected[0] == ready.outputs[0]))
      throw Error("the session's sums are not the interpreter's", layer.precision.name);
  }
  const auto values = ready.outputs[0].values<float>();
  std::vector<std::int32_t> first(values.begin(), values.end());
  if (s.dense()) return first;
  // NCHW to NHWC is the same turn with channels and positions exchanged.
  return channels_first(first, s.batch, s.out, s.size * s.size);
}

Contender nnq_chain(const Layer& layer, int count) {
  const auto whole = std::make_shared<Ready>(layer, make_program(layer, count, Ending::codes));
  const auto empty = std::make_shared<Ready>(layer, make_program(layer, 0, Ending::codes));
  Contender c;
  c.who = "nnq";
  c.what = layer.precision.name;
  c.kernel = whole->kernel_of("layer0");
  c.bytes = static_cast<double>(layer.weights.bits) * static_cast<double>(layer.weights.plane_bytes());
  c.set_steps(*whole->session, "layer", count);
  c.sample = less_empty(in_process([whole] { whole->run(); }), in_process([empty] { empty->run(); }), count);
  return c;
}

Contender nnq_sums_only(const Layer& layer) {
  const auto ready = std::make_shared<Ready>(layer, make_program(layer, 1, Ending::sums));
  Contender c;
  c.who = "nnq";
  c.what = layer.precision.name + ", int32 out";
  c.kernel = ready->kernel_of("layer0");
  c.set_steps(*ready->session, "layer");
  c.sample = [ready](double least_ms) {
    std::vector<StepInfo> steps;
    double milliseconds = 0, spent = 0;
    std::vector<double> times;
    do {
      throw_if_error(ready->session->profile(ready->inputs, 1, steps, milliseconds), "profile of a layer");
      for (const StepInfo& step : steps)
        if (step.name == "layer0") times.push_back(step.median_microseconds);
      spent += times.back() / 1000;
    } while (spent < least_ms);
    // The step alone, by the clock: the best of several, for another job may have had the core.
    return *std::min_element(times.begin(), times.end());
  };
  return c;
}

Contender nnq_float_to_float(const Layer& layer) {
  const auto ready = std::make_shared<Ready>(layer, make_program(layer, 1, Ending::floats));
  Contender c;
  c.who = "nnq";
  c.what = layer.precision.name;
  c.kernel = ready->kernel_of("layer0");
  c.bytes = static_cast<double>(layer.weights.bits) * static_cast<double>(layer.weights.plane_bytes());
  c.set_steps(*ready->session);
  c.sample = in_process([ready] { ready->run(); });
  return c;
}

}  // namespace nnq::peers
