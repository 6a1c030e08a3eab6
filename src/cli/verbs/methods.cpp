#include <fmt/format.h>

#include "cli/table.h"
#include "cli/training.h"
#include "cli/verb.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

class Methods final : public Verb {
 public:
  std::string name() const override { return "methods"; }
  std::string summary() const override { return "list or explain the methods: paper, encoding, parameters"; }
  std::vector<std::string> examples() const override { return {"nnq methods", "nnq methods dorefa"}; }
  void options(CLI::App& app) override { app.add_option("NAME", id_, "explain one method"); }

  int run(bool json, nlohmann::ordered_json& document) override {
    std::vector<MethodInfo> chosen;
    std::string known;
    for (const MethodInfo& info : training().methods()) {
      known += (known.empty() ? "" : ", ") + info.id;
      if (id_.empty() || info.id == id_) chosen.push_back(info);
    }
    if (chosen.empty()) throw Error("there is no method '" + id_ + "'", {}, "known: " + known);
    if (json) {
      document["methods"] = nlohmann::ordered_json::array();
      for (const MethodInfo& info : chosen) document["methods"].push_back(to_json(info));
    } else if (id_.empty()) {
      print_list(chosen);
    } else {
      print_one(chosen.front());
    }
    return done;
  }

 private:
  static nlohmann::ordered_json to_json(const MethodInfo& info) {
    nlohmann::ordered_json row = {{"id", info.id},     {"title", info.title},       {"paper", info.paper},
                                  {"kind", info.kind}, {"encoding", info.encoding}, {"roles", info.roles}};
    row["parameters"] = nlohmann::ordered_json::array();
    for (const MethodParameter& p : info.parameters) {
      row["parameters"].push_back({{"name", p.name},
                                   {"default", p.default_value},
                                   {"unit", p.unit},
                                   {"range", p.range},
                                   {"description", p.description}});
    }
    return row;
  }

  static void print_list(const std::vector<MethodInfo>& methods) {
    Table table({{"method"}, {"encoding"}, {"for"}, {"paper"}});
    for (const MethodInfo& info : methods) table.row({info.id, info.encoding, info.roles, info.paper});
    fmt::print("{}\nnext: nnq methods NAME explains one\n", table.text());
  }

  static void print_one(const MethodInfo& info) {
    fmt::print("{}: {}\n\n  paper     {}\n  encoding  {}\n  for       {}\n\n", info.id, info.title, info.paper,
               info.encoding, info.roles);
    Table table({{"parameter"}, {"default"}, {"unit"}, {"range"}, {"meaning"}});
    for (const MethodParameter& p : info.parameters)
      table.row({p.name, p.default_value, p.unit, p.range, p.description});
    if (!info.parameters.empty()) fmt::print("{}", table.text());
    if (info.kind == "attack") {
      fmt::print("\nnext: nnq attack MODEL --attack {} --set PARAMETER=VALUE\n", info.id);
    } else {
      fmt::print("\nnext: nnq compress MODEL --method {} --weights B --activations B --data NAME\n", info.id);
    }
  }

  std::string id_;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(methods) { return std::make_unique<nnq::cli::Methods>(); }
