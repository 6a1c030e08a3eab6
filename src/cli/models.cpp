#include "cli/models.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/random.h"
#include "core/text.h"
#include "nnq/error.h"
#include "nnq/lower.h"
#include "nnq/onnx.h"
#include "nnq/program.h"

namespace nnq::cli {
namespace {

bool begins_as_nnq(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw Error("cannot be read", file);
  std::string magic(4, '\0');
  in.read(magic.data(), 4);
  return magic == "NNQ1";
}

Shape parse_dims(const std::string& text, const std::string& where) {
  Shape shape;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find_first_of(",x", begin), text.size());
    std::int64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, value);
    if (error != std::errc() || stop != text.data() + end || value < 1)
      throw Error("'" + text + "' is not a shape", where, "write it as --shape input=1,3,32,32");
    shape.push_back(value);
    begin = end + 1;
  }
  if (!checked_count(shape)) throw Error("the shape " + to_string(shape) + " overflows", where);
  return shape;
}

void check_fits(const ModelPort& port, const Shape& shape) {
  bool fits = !port.type.ranked || port.type.shape.size() == shape.size();
  for (std::size_t i = 0; fits && port.type.ranked && i < shape.size(); ++i)
    fits = !port.type.shape[i].known() || port.type.shape[i].value == shape[i];
  if (!fits)
    throw Error("expected " + port.type.to_string() + ", got the shape " + to_string(shape),
                "input '" + port.name + "'");
}

}  // namespace

const std::map<std::string, std::string>& LoadedModel::metadata() const {
  return packed ? packed->metadata() : graph.metadata;
}

std::vector<ModelPort> LoadedModel::inputs() const {
  if (packed) return packed->inputs();
  std::vector<ModelPort> ports;
  for (const GraphInput& input : graph.inputs) ports.push_back({input.name, input.type});
  return ports;
}

std::shared_ptr<const Model> LoadedModel::deployed() const {
  if (packed) return packed;
  std::shared_ptr<const Model> model;
  try {
    throw_if_error(Model::from_program(lower(graph), model));
  } catch (const Error& error) {
    throw error.inside(file);
  }
  return model;
}

LoadedModel load_model(const std::string& file) {
  std::error_code failed;
  const auto status = std::filesystem::status(file, failed);
  if (!std::filesystem::exists(status)) throw Error("there is no such file", file);
  if (!std::filesystem::is_regular_file(status)) throw Error("is not a file", file);
  LoadedModel loaded;
  loaded.file = file;
  loaded.bytes = static_cast<std::size_t>(std::filesystem::file_size(file, failed));
  if (begins_as_nnq(file)) {
    throw_if_error(Model::load(file, {}, loaded.packed));
  } else {
    loaded.graph = import_onnx(file);
  }
  return loaded;
}

std::unique_ptr<Session> make_session(const std::shared_ptr<const Model>& model, int threads, const std::string& file) {
  return make_session(model, {.threads = threads}, file);
}

std::unique_ptr<Session> make_session(const std::shared_ptr<const Model>& model, const Session::Options& options,
                                      const std::string& file) {
  std::unique_ptr<Session> session;
  throw_if_error(Session::create(model, options, session), file);
  return session;
}

void print_notes(const Session& session) {
  for (const std::string& note : session.notes()) fmt::print(stderr, "nnq: {}\n", note);
}

Preprocessing preprocessing_for(const std::map<std::string, std::string>& metadata, const std::vector<float>& mean,
                                const std::vector<float>& std) {
  Preprocessing preprocessing = Preprocessing::from_metadata(metadata);
  if (!mean.empty()) preprocessing.mean = mean;
  if (!std.empty()) preprocessing.std = std;
  for (const float m : mean) {
    if (!std::isfinite(m)) throw Error("a mean must be a finite number", "--mean");
  }
  for (const float s : std) {
    if (!(s > 0) || !std::isfinite(s)) throw Error("a standard deviation must be a finite number above 0", "--std");
  }
  return preprocessing;
}

void check_channels(const Preprocessing& preprocessing, const std::vector<ModelPort>& inputs) {
  if (inputs.empty() || !inputs[0].type.ranked || inputs[0].type.shape.size() != 4) return;
  const Dim& channels = inputs[0].type.shape[1];
  for (const auto& [option, values] :
       {std::pair("--mean", &preprocessing.mean), std::pair("--std", &preprocessing.std)}) {
    if (values->size() > 1 && channels.known() && static_cast<std::int64_t>(values->size()) != channels.value)
      throw Error(std::to_string(values->size()) + " values, but input '" + inputs[0].name + "' has " +
                      std::to_string(channels.value) + (channels.value == 1 ? " channel" : " channels"),
                  option, "give one value, or one a channel");
  }
}

std::map<std::string, Shape> parse_shapes(const std::vector<std::string>& texts, const std::vector<ModelPort>& inputs) {
  std::map<std::string, Shape> shapes;
  std::vector<std::string> names;
  for (const ModelPort& port : inputs) names.push_back(port.name);
  for (const std::string& text : texts) {
    const std::size_t equals = text.rfind('=');
    if (equals == std::string::npos && inputs.size() != 1)
      throw Error("the model has " + std::to_string(inputs.size()) + " inputs", "--shape " + text,
                  "name one: --shape " + (names.empty() ? "input" : names[0]) + "=1,3,32,32");
    const std::string name = equals == std::string::npos ? names[0] : text.substr(0, equals);
    const auto port = std::find_if(inputs.begin(), inputs.end(), [&](const ModelPort& p) { return p.name == name; });
    if (port == inputs.end())
      throw Error("the model has no input '" + name + "'", "--shape " + text, suggestion(name, names));
    const Shape shape = parse_dims(equals == std::string::npos ? text : text.substr(equals + 1), "--shape " + text);
    check_fits(*port, shape);
    if (!shapes.emplace(name, shape).second)
      throw Error("the shape of '" + name + "' is given twice", "--shape " + text);
  }
  return shapes;
}

std::vector<Shape> input_shapes(const std::vector<ModelPort>& inputs, const std::map<std::string, Shape>& given,
                                std::int64_t batch) {
  std::vector<Shape> shapes;
  for (const ModelPort& port : inputs) {
    if (const auto it = given.find(port.name); it != given.end()) {
      shapes.push_back(it->second);
      continue;
    }
    Shape shape;
    bool open = !port.type.ranked;
    for (std::size_t i = 0; i < port.type.shape.size(); ++i) {
      const Dim& dim = port.type.shape[i];
      open = open || (!dim.known() && i > 0);
      shape.push_back(dim.known() ? dim.value : batch);
    }
    if (open)
      throw Error("its shape " + port.type.to_string() + " is open", "input '" + port.name + "'",
                  "give it: --shape " + port.name + "=1,3,224,224");
    if (!checked_count(shape)) throw Error("the shape " + to_string(shape) + " overflows", "input '" + port.name + "'");
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

std::vector<Tensor> random_inputs(const std::vector<ModelPort>& inputs, const std::vector<Shape>& shapes,
                                  std::uint64_t seed) {
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Tensor tensor(inputs[i].type.dtype, shapes[i]);
    Random random(seed, inputs[i].name);
    if (tensor.dtype() == DType::f32) {
      for (float& v : tensor.mutable_values<float>()) v = static_cast<float>(random.normal());
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

double median_milliseconds(Session& session, const std::vector<Tensor>& inputs, double seconds, int least) {
  using Clock = std::chrono::steady_clock;
  std::vector<Tensor> outputs;
  for (int i = 0; i < 2; ++i) throw_if_error(session.run(inputs, outputs));
  std::vector<double> times;
  const auto begin = Clock::now();
  while (static_cast<int>(times.size()) < least ||
         std::chrono::duration<double>(Clock::now() - begin).count() < seconds) {
    const auto before = Clock::now();
    throw_if_error(session.run(inputs, outputs));
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - before).count());
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

}  // namespace nnq::cli
