#include "nnq/zoo.h"

#include <fmt/format.h>

#include "cli/inspection.h"
#include "cli/numbers.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "core/atomic_file.h"
#include "core/text.h"
#include "nnq/error.h"
#include "nnq/onnx.h"

namespace nnq::cli {
namespace {

class Zoo final : public Verb {
 public:
  std::string name() const override { return "zoo"; }
  std::string summary() const override { return "list networks by name, explain one, or write one as ONNX"; }
  std::vector<std::string> examples() const override {
    return {"nnq zoo", "nnq zoo resnet20", "nnq zoo mlp -o mlp.onnx --set hidden=512,512 --seed 3"};
  }
  void options(CLI::App& app) override {
    app_ = &app;
    app.add_option("NAME", name_, "explain one network, or write it with -o");
    app.add_option("-o,--output", output_, "write it here (.onnx), weights freshly initialised");
    app.add_option("--set", settings_, "parameter of the network: KEY=VALUE (repeatable)");
    app.add_option("--seed", seed_, "seed of the weights")->capture_default_str()->check(whole_number());
  }

  int run(bool json, nlohmann::ordered_json& document) override {
    if (name_.empty()) {
      for (const char* option : {"-o", "--set", "--seed"}) {
        if (app_->count(option) > 0)
          throw Error(std::string(option) + " needs the name of a network", {}, "nnq zoo lists them");
      }
      return list(json, document);
    }
    const ZooEntry entry = find();
    if (app_->count("-o") > 0) throw_if_error(check_output(output_, {}, ".onnx"));
    return output_.empty() ? explain(entry, json, document) : write(json, document);
  }

 private:
  ZooEntry find() const {
    std::vector<std::string> names;
    for (const ZooEntry& entry : all_zoo()) {
      if (entry.name == name_) return entry;
      names.push_back(entry.name);
    }
    throw Error("there is no network '" + name_ + "'", {}, suggestion(name_, names));
  }

  static nlohmann::ordered_json to_json(const ZooEntry& entry) {
    nlohmann::ordered_json row = {{"name", entry.name}, {"description", entry.description}};
    row["parameters"] = nlohmann::ordered_json::array();
    for (const ZooParameter& p : entry.parameters) {
      row["parameters"].push_back(
          {{"name", p.name}, {"default", p.default_value}, {"range", p.range}, {"description", p.description}});
    }
    return row;
  }

  static int list(bool json, nlohmann::ordered_json& document) {
    document["networks"] = nlohmann::ordered_json::array();
    Table table({{"network"}, {"what it is"}});
    for (const ZooEntry& entry : all_zoo()) {
      document["networks"].push_back(to_json(entry));
      table.row({entry.name, entry.description});
    }
    if (!json) fmt::print("{}\nnext: nnq zoo NAME explains one, nnq zoo NAME -o F.onnx writes it\n", table.text());
    return done;
  }

  int explain(const ZooEntry& entry, bool json, nlohmann::ordered_json& document) const {
    document["networks"] = nlohmann::ordered_json::array({to_json(entry)});
    const Graph graph = build();
    const Inspection made = inspect_graph(graph, {});
    document["networks"][0]["weights"] = trainable_parameters(graph);
    document["networks"][0]["macs"] = made.macs;
    if (json) return done;
    fmt::print("{}: {}\n\n  weights   {}\n  MACs      {}{}\n", entry.name, entry.description,
               grouped(trainable_parameters(graph)), grouped(made.macs), made.macs_complete ? "" : " at least");
    for (const GraphInput& input : graph.inputs) fmt::print("  input     {} {}\n", input.name, input.type.to_string());
    Table table({{"parameter"}, {"default"}, {"range"}, {"meaning"}});
    for (const ZooParameter& p : entry.parameters) table.row({p.name, p.default_value, p.range, p.description});
    if (!entry.parameters.empty()) fmt::print("\n{}", table.text());
    fmt::print("\nnext: nnq zoo {0} -o {0}.onnx\n", entry.name);
    return done;
  }

  Graph build() const {
    std::map<std::string, std::string> parameters;
    for (const std::string& setting : settings_) {
      const std::size_t equals = setting.find('=');
      if (equals == std::string::npos || equals == 0)
        throw Error("expected KEY=VALUE, got '" + setting + "'", "--set", "nnq zoo " + name_ + " lists the parameters");
      parameters[setting.substr(0, equals)] = setting.substr(equals + 1);
    }
    return build_zoo(name_, parameters, seed_);
  }

  int write(bool json, nlohmann::ordered_json& document) const {
    const Graph graph = build();
    const std::size_t bytes = export_onnx(graph, output_);
    document["model"] = output_;
    document["parameters"] = trainable_parameters(graph);
    document["bytes"] = bytes;
    if (!json)
      fmt::print("{}: {} parameters, {} bytes\nnext: nnq inspect {}\n", output_, grouped(trainable_parameters(graph)),
                 grouped(static_cast<std::int64_t>(bytes)), shell_word(output_));
    return done;
  }

  CLI::App* app_ = nullptr;
  std::string name_, output_;
  std::vector<std::string> settings_;
  std::uint64_t seed_ = 1;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(zoo) { return std::make_unique<nnq::cli::Zoo>(); }
