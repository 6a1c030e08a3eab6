// ONNX Runtime (npm onnxruntime-node, scripts/install_onnxruntime.sh) as the judge of exported files.
#pragma once

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nnq/error.h"
#include "nnq/tensor.h"

namespace nnq::test {

/// The folder of the Node module; empty when it is not installed.
inline std::string onnxruntime_module() {
  const std::string folder = std::string(NNQ_SOURCE_DIR) + "/build/onnxruntime/node_modules/onnxruntime-node";
  return std::filesystem::exists(folder) ? folder : "";
}

/// Why the judge cannot be asked here; empty when it can.
inline std::string no_onnxruntime() {
  if (onnxruntime_module().empty()) return "ONNX Runtime is not installed: scripts/setup.sh --tests";
  if (std::system("node --version >/dev/null 2>&1") != 0) return "node is not installed: scripts/setup.sh --tests";
  return "";
}

/// Runs `model` (a file); the outputs in the order of the model. Throws nnq::Error with the runtime's message.
inline std::vector<Tensor> run_onnxruntime(const std::filesystem::path& model,
                                           const std::map<std::string, Tensor>& inputs, bool optimize = true) {
  namespace fs = std::filesystem;
  static int runs = 0;
  const fs::path folder =
      fs::temp_directory_path() / ("nnq_judge_" + std::to_string(::getpid()) + "_" + std::to_string(runs++));
  fs::create_directories(folder);
  const auto json_type = [](DType type) {
    return type == DType::boolean ? std::string("bool") : std::string(name_of(type));
  };
  nlohmann::json job = {{"module", onnxruntime_module()},
                        {"model", fs::absolute(model).string()},
                        {"threads", 1},
                        {"optimize", optimize},
                        {"inputs", nlohmann::json::array()}};
  for (const auto& [name, tensor] : inputs) {
    std::ofstream(folder / ("input_" + std::to_string(job["inputs"].size()) + ".bin"), std::ios::binary)
        .write(reinterpret_cast<const char*>(tensor.data()), static_cast<std::streamsize>(tensor.bytes()));
    job["inputs"].push_back({{"name", name}, {"type", json_type(tensor.dtype())}, {"dims", tensor.shape()}});
  }
  std::ofstream(folder / "job.json") << job;
  const std::string command = "node '" NNQ_SOURCE_DIR "/tests/onnx/run_onnxruntime.js' '" + folder.string() + "' 2>&1";
  std::string said;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) throw Error("cannot start node");
  std::array<char, 4096> buffer{};
  for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) said.append(buffer.data(), n);
  if (::pclose(pipe) != 0) throw Error(said, "ONNX Runtime on " + model.string());
  std::vector<Tensor> outputs;
  const auto result = nlohmann::json::parse(std::ifstream(folder / "result.json"));
  for (const auto& output : result.at("outputs")) {
    DType type = DType::f32;
    for (const DType candidate : {DType::f64, DType::i8, DType::u8, DType::i16, DType::u16, DType::i32, DType::u32,
                                  DType::i64, DType::u64, DType::boolean})
      if (json_type(candidate) == output.at("type")) type = candidate;
    Tensor tensor(type, output.at("dims").get<Shape>());
    std::ifstream(folder / ("output_" + std::to_string(outputs.size()) + ".bin"), std::ios::binary)
        .read(reinterpret_cast<char*>(tensor.mutable_data()), static_cast<std::streamsize>(tensor.bytes()));
    outputs.push_back(tensor);
  }
  fs::remove_all(folder);
  return outputs;
}

}  // namespace nnq::test
