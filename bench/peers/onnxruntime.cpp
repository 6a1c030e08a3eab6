#include "onnxruntime.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>

#include "nnq/error.h"
#include "nnq/onnx.h"

namespace nnq::peers {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const std::string module = NNQ_SOURCE_DIR "/build/onnxruntime/node_modules/onnxruntime-node";

DType type_named(const std::string& name) {
  for (const DType type : {DType::f32, DType::i8, DType::u8, DType::i32, DType::i64})
    if (name == name_of(type)) return type;
  throw Error("no such type: " + name, "ONNX Runtime");
}

}  // namespace

OnnxRuntime::OnnxRuntime(const fs::path& folder) : folder_(folder) {
  if (!fs::exists(module)) throw Error("ONNX Runtime is not installed", module, "scripts/install_onnxruntime.sh");
  fs::create_directories(folder_);
  int down[2], up[2];
  if (pipe(down) != 0 || pipe(up) != 0) throw Error("cannot make a pipe");
  pid_ = fork();
  if (pid_ < 0) throw Error("cannot start a process");
  if (pid_ == 0) {
    dup2(down[0], 0);
    dup2(up[1], 1);
    for (const int end : {down[0], down[1], up[0], up[1]}) close(end);
    execlp("node", "node", NNQ_SOURCE_DIR "/bench/peers/onnxruntime_server.js", module.c_str(), nullptr);
    std::perror("node");
    _exit(127);
  }
  close(down[0]);
  close(up[1]);
  to_ = fdopen(down[1], "w");
  from_ = fdopen(up[0], "r");
  std::signal(SIGPIPE, SIG_IGN);
}

OnnxRuntime::~OnnxRuntime() {
  std::fclose(to_);  // the process ends with its input
  std::fclose(from_);
  waitpid(pid_, nullptr, 0);
}

json OnnxRuntime::ask(const json& command) {
  std::fputs((command.dump() + "\n").c_str(), to_);
  std::fflush(to_);
  std::string line;
  for (int c = std::fgetc(from_); c != '\n'; c = std::fgetc(from_)) {
    if (c == EOF) throw Error("the Node process ended", "ONNX Runtime");
    line.push_back(static_cast<char>(c));
  }
  json answer = json::parse(line);
  if (answer.contains("error")) throw Error(answer["error"].get<std::string>(), "ONNX Runtime");
  return answer;
}

std::shared_ptr<OnnxRuntime::Loaded> OnnxRuntime::load(const fs::path& model,
                                                       const std::map<std::string, Tensor>& inputs) {
  const int id = next_++;
  json command = {{"do", "load"}, {"id", id}, {"model", model.string()}, {"inputs", json::array()}};
  for (const auto& [name, tensor] : inputs) {
    const fs::path file = folder_ / ("input_" + std::to_string(command["inputs"].size()) + ".bin");
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(tensor.data()), static_cast<std::streamsize>(tensor.bytes()));
    command["inputs"].push_back(
        {{"name", name}, {"type", name_of(tensor.dtype())}, {"dims", tensor.shape()}, {"file", file.string()}});
  }
  ask(command);
  return std::make_shared<Loaded>(*this, id);
}

std::shared_ptr<OnnxRuntime::Loaded> OnnxRuntime::load_graph(const Graph& graph,
                                                             const std::map<std::string, Tensor>& inputs) {
  return load_bytes(export_onnx_bytes(graph), inputs);
}

std::shared_ptr<OnnxRuntime::Loaded> OnnxRuntime::load_bytes(const std::string& model,
                                                             const std::map<std::string, Tensor>& inputs) {
  const fs::path file = folder_ / "layer.onnx";
  std::ofstream(file, std::ios::binary).write(model.data(), static_cast<std::streamsize>(model.size()));
  return load(file, inputs);
}

std::string OnnxRuntime::version() {
  const json package = json::parse(std::ifstream(module + "/package.json"), nullptr, false);
  return package.is_object() ? package.value("version", "") : "";
}

OnnxRuntime::Loaded::~Loaded() {
  try {
    runtime_.ask({{"do", "drop"}, {"id", id_}});
  } catch (const std::exception&) {  // the process is gone, and the model with it
  }
}

std::vector<Tensor> OnnxRuntime::Loaded::outputs() {
  const json answer = runtime_.ask({{"do", "outputs"}, {"id", id_}, {"folder", runtime_.folder_.string()}});
  std::vector<Tensor> tensors;
  for (const json& output : answer["outputs"]) {
    Tensor tensor(type_named(output["type"]), output["dims"].get<Shape>());
    std::ifstream(output["file"].get<std::string>(), std::ios::binary)
        .read(reinterpret_cast<char*>(tensor.mutable_data()), static_cast<std::streamsize>(tensor.bytes()));
    tensors.push_back(tensor);
  }
  return tensors;
}

double OnnxRuntime::Loaded::sample(double least_ms) {
  return runtime_.ask({{"do", "time"}, {"id", id_}, {"least_ms", least_ms}})["us"].get<double>();
}

std::function<double(double)> sampled(std::shared_ptr<OnnxRuntime::Loaded> loaded) {
  return [loaded = std::move(loaded)](double least_ms) { return loaded->sample(least_ms); };
}

}  // namespace nnq::peers
