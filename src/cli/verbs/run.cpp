#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "cli/models.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "cli/weights_cache_option.h"
#include "core/text.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

/// A value's name as a file's: letters, digits and -_. stay.
std::string file_name(const std::string& value) {
  std::string name = value;
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!plain && c != '-' && c != '_' && c != '.') c = '_';
  }
  return (name.empty() || name[0] == '.' ? "_" + name : name) + ".npy";
}

class Run final : public Verb {
 public:
  std::string name() const override { return "run"; }
  std::string summary() const override { return "run a model on NPY files with the packed runtime"; }
  std::vector<std::string> examples() const override {
    return {"nnq run model.nnq --input x.npy --output out",
            "nnq run model.onnx --input a=x.npy --input b=y.npy --output out",
            "nnq run model.nnq --random --output out"};
  }
  void options(CLI::App& app) override {
    app.add_option("MODEL", file_, "model (.nnq; an .onnx is lowered on the fly)")->required();
    app.add_option("--input", inputs_, "X.npy, or NAME=X.npy (repeatable); values as the network takes them");
    app.add_flag("--random", random_, "random inputs instead (standard normal, seed 1)");
    app.add_option("--shape", shapes_, "shape of a random input with free dimensions: NAME=1,3,32,32");
    app.add_option("--output", folder_, "folder for the outputs, one NPY file each")->capture_default_str();
    app.add_option("--threads", threads_, "threads; results do not depend on it")->check(CLI::Range(1, 1024));
    app.add_flag("--autotune", autotune_, "time the kernels that could run a layer and take the fastest (remembered)");
    add_weights_cache(app, weights_cache_);
  }

  int run(bool json, nlohmann::ordered_json& document) override {
    const LoadedModel model = load_model(file_);
    const std::shared_ptr<const Model> deployed = model.deployed();
    const std::vector<Tensor> inputs = random_ ? make_random(*deployed) : read_inputs(*deployed);
    std::vector<Tensor> outputs;
    const std::unique_ptr<Session> session =
        make_session(deployed, {.threads = threads_, .autotune = autotune_, .weights_cache = weights_cache_}, file_);
    throw_if_error(session->run(inputs, outputs), file_);
    print_notes(*session);
    document["outputs"] = nlohmann::ordered_json::array();
    Table table({{"output"}, {"type"}, {"file"}});
    std::vector<std::string> taken;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::string value = deployed->outputs()[i].name;
      std::string name = file_name(value);
      if (std::find(taken.begin(), taken.end(), name) != taken.end()) name = std::to_string(i) + "_" + name;
      taken.push_back(name);
      const std::string path = (std::filesystem::path(folder_) / name).string();
      save_npy(outputs[i], path);
      document["outputs"].push_back({{"name", value}, {"shape", outputs[i].shape()}, {"file", path}});
      table.row({value, name_of(outputs[i].dtype()) + to_string(outputs[i].shape()), path});
    }
    if (!json) fmt::print("{}", table.text());
    return done;
  }

 private:
  std::vector<Tensor> make_random(const Model& model) const {
    if (!inputs_.empty()) throw Error("--random and --input exclude each other");
    const auto shapes = input_shapes(model.inputs(), parse_shapes(shapes_, model.inputs()), 1);
    return random_inputs(model.inputs(), shapes, 1);
  }

  std::vector<Tensor> read_inputs(const Model& model) const {
    const std::vector<ModelPort>& ports = model.inputs();
    std::vector<std::string> names;
    for (const ModelPort& port : ports) names.push_back(port.name);
    std::vector<std::optional<Tensor>> given(ports.size());
    for (const std::string& text : inputs_) {
      const auto [slot, path] = place(text, names, given);
      if (given[slot]) throw Error("is given twice", "input '" + names[slot] + "'");
      given[slot] = load_npy(path);
    }
    std::vector<Tensor> tensors;
    for (std::size_t i = 0; i < ports.size(); ++i) {
      if (!given[i])
        throw Error("is not given; it is " + ports[i].type.to_string(), "input '" + names[i] + "'",
                    "--input " + names[i] + "=X.npy, or --random");
      tensors.push_back(*given[i]);
    }
    return tensors;
  }

  /// NAME=FILE goes to its input, a bare FILE to the first input without one. Paths may hold '='.
  static std::pair<std::size_t, std::string> place(const std::string& text, const std::vector<std::string>& names,
                                                   const std::vector<std::optional<Tensor>>& given) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (text.starts_with(names[i] + "=")) return {i, text.substr(names[i].size() + 1)};
    }
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos && !std::filesystem::exists(text))
      throw Error("the model has no input '" + text.substr(0, equals) + "'", "--input " + text,
                  suggestion(text.substr(0, equals), names));
    const auto free = std::find_if(given.begin(), given.end(), [](const auto& tensor) { return !tensor.has_value(); });
    if (free == given.end())
      throw Error("the model has only " + std::to_string(names.size()) + " inputs", "--input " + text);
    return {static_cast<std::size_t>(free - given.begin()), text};
  }

  std::string file_, folder_ = ".", weights_cache_;
  std::vector<std::string> inputs_, shapes_;
  bool random_ = false, autotune_ = false;
  int threads_ = 1;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(run) { return std::make_unique<nnq::cli::Run>(); }
