// Runs ONNX's own backend tests (Debian's libonnx-testdata): a folder each, with model.onnx and pairs of input_i.pb,
// output_i.pb. Shared by the interpreter's test and the LibTorch executor's.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "nnq/error.h"
#include "nnq/onnx.h"
#include "onnx/close.h"
#include "onnx/tensors.h"

namespace nnq::test {

/// Runs a graph on inputs by name; the outputs in graph order.
using Executor = std::function<std::vector<Tensor>(const Graph&, const std::map<std::string, Tensor>&)>;

inline std::filesystem::path backend_data() { return "/usr/share/libonnx-testdata/data"; }

template <class Proto>
Proto read_proto(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  Proto proto;
  if (!proto.ParseFromIstream(&stream)) throw Error("does not parse", file.string());
  return proto;
}

/// Every operator the model calls ("" domain without prefix), bodies of its functions and sub-graphs included.
inline void collect_operators(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes,
                              const std::set<std::string>& functions, std::set<std::string>& operators) {
  for (const auto& node : nodes) {
    const std::string domain = node.domain().empty() || node.domain() == "ai.onnx" ? "" : node.domain() + "::";
    if (!functions.contains(domain + node.op_type())) operators.insert(domain + node.op_type());
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g()) collect_operators(attribute.g().node(), functions, operators);
    }
  }
}

inline std::set<std::string> operators_of(const onnx::ModelProto& model) {
  std::set<std::string> functions, operators;
  for (const auto& function : model.functions()) functions.insert(function.domain() + "::" + function.name());
  collect_operators(model.graph().node(), functions, operators);
  for (const auto& function : model.functions()) collect_operators(function.node(), functions, operators);
  return operators;
}

/// The data of bfloat16 tests are stored as uint16; they are taken for what the model (or the result) says.
inline Tensor reinterpreted(const Tensor& data, DType type) {
  if (type != DType::bf16 || data.dtype() != DType::u16) return data;
  Tensor out(type, data.shape());
  std::copy_n(data.data(), data.bytes(), out.mutable_data());
  return out;
}

/// Runs all data sets of one test; "" when everything is equal, otherwise what differs.
inline std::string run_backend_test(const std::filesystem::path& folder, const Executor& execute, bool simplify) {
  try {
    const Graph graph = import_onnx(folder / "model.onnx", {.simplify = simplify});
    std::size_t sets = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (!entry.is_directory()) continue;
      ++sets;
      const auto tensor = [&](const std::string& name) {
        return onnx_format::read_tensor(read_proto<onnx::TensorProto>(entry.path() / name), {}, name);
      };
      std::map<std::string, Tensor> inputs;
      for (std::size_t i = 0; i < graph.inputs.size(); ++i)
        inputs[graph.inputs[i].name] =
            reinterpreted(tensor("input_" + std::to_string(i) + ".pb"), graph.inputs[i].type.dtype);
      const std::vector<Tensor> outputs = execute(graph, inputs);
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        const std::string name = "output_" + std::to_string(i) + ".pb";
        const Tensor expected = reinterpreted(tensor(name), outputs[i].dtype());
        const std::string difference = difference_between(outputs[i], expected, 1e-3, 1e-5);
        if (!difference.empty()) return name + ": " + difference;
      }
    }
    return sets > 0 ? "" : "no test data";
  } catch (const std::exception& error) {  // LibTorch throws its own
    return error.what();
  }
}

/// Adds the reasons by "kind/test" from the table under "## <heading>" of docs/onnx.md.
inline void add_exceptions(const std::string& heading, std::map<std::string, std::string>& reasons) {
  std::ifstream page(std::string(NNQ_SOURCE_DIR) + "/docs/onnx.md");
  bool here = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("## ")) here = line == "## " + heading;
    if (!here || !line.starts_with("| `")) continue;
    const std::size_t end = line.find('`', 3), bar = line.find('|', end);
    std::string reason = line.substr(bar + 1, line.rfind('|') - bar - 1);
    reasons[line.substr(3, end - 3)] = reason.find_first_not_of(' ') == std::string::npos ? "" : reason;
  }
}

struct SuiteResult {
  std::size_t passed = 0, listed = 0, total = 0;
  std::vector<std::string> faults;  // unlisted failures, listed tests that pass, listings without a reason

  std::string summary(const std::string& kind) const {
    return kind + ": passed " + std::to_string(passed) + " / listed " + std::to_string(listed) + " / total " +
           std::to_string(total);
  }
};

/// Runs every test of data/<kind> whose operators are all in `operators` (empty: every test).
inline SuiteResult run_backend_suite(const std::string& kind, const std::set<std::string>& operators,
                                     const Executor& execute,
                                     const std::vector<std::string>& headings = {"Exceptions"}) {
  std::map<std::string, std::string> listed;
  for (const std::string& heading : headings) add_exceptions(heading, listed);
  std::set<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(backend_data() / kind)) folders.insert(entry.path());
  SuiteResult result;
  for (const std::filesystem::path& folder : folders) {
    const std::set<std::string> used = operators_of(read_proto<onnx::ModelProto>(folder / "model.onnx"));
    if (!operators.empty() && !std::includes(operators.begin(), operators.end(), used.begin(), used.end())) continue;
    const std::string name = kind + "/" + folder.filename().string();
    ++result.total;
    std::string difference = run_backend_test(folder, execute, /*simplify=*/false);
    if (difference.empty()) {
      difference = run_backend_test(folder, execute, /*simplify=*/true);
      if (!difference.empty()) difference = "only when simplified: " + difference;
    }
    const auto exception = listed.find(name);
    if (difference.empty()) {
      ++result.passed;
      if (exception != listed.end()) result.faults.push_back(name + ": passes, but docs/onnx.md lists it");
    } else if (exception == listed.end()) {
      result.faults.push_back(name + ": " + difference);
    } else {
      ++result.listed;
      if (exception->second.empty()) result.faults.push_back(name + ": listed without a reason");
    }
    if (exception != listed.end()) listed.erase(exception);
  }
  for (const auto& [name, reason] : listed) {
    if (name.starts_with(kind + "/")) result.faults.push_back(name + ": listed, but there is no such test");
  }
  return result;
}

}  // namespace nnq::test
