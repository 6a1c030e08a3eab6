#include <fmt/format.h>

#include <algorithm>

#include "cli/table.h"
#include "cli/training.h"
#include "cli/transfer_plot.h"
#include "cli/verb.h"
#include "core/atomic_file.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

class Methods final : public Verb {
 public:
  std::string name() const override { return "methods"; }
  std::string summary() const override { return "list or explain the methods: paper, encoding, parameters"; }
  std::vector<std::string> examples() const override {
    return {"nnq methods", "nnq methods dorefa", "nnq methods lq_nets --plot lq_nets.svg --role activation --bits 2"};
  }
  void options(CLI::App& app) override {
    auto* name = app.add_option("NAME", id_, "explain one method");
    auto* plot = app.add_option("--plot", plot_, "write a picture of what it makes of values (SVG)")->needs(name);
    app.add_option("--role", request_.role, "of the picture: weight or activation")
        ->needs(plot)
        ->capture_default_str()
        ->check(CLI::IsMember({"weight", "activation"}));
    app.add_option("--bits", request_.bits, "of the picture")
        ->needs(plot)
        ->capture_default_str()
        ->check(CLI::Range(1, 8));
    app.add_option("--set", parameters_, "KEY=VALUE: a parameter of the method, for the picture")
        ->needs(plot)
        ->type_name("KEY=VALUE");
  }

  int run(bool json, nlohmann::ordered_json& document) override {
    if (!plot_.empty()) throw_if_error(check_output(plot_, {}, ".svg"));
    std::vector<MethodInfo> chosen;
    std::string known;
    for (const MethodInfo& info : training().methods()) {
      known += (known.empty() ? "" : ", ") + info.id;
      if (id_.empty() || info.id == id_) chosen.push_back(info);
    }
    if (chosen.empty()) throw Error("there is no method '" + id_ + "'", {}, "known: " + known);
    if (!plot_.empty()) return draw(chosen.front(), json, document);
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
  int draw(const MethodInfo& info, bool json, nlohmann::ordered_json& document) {
    request_.method = id_;
    request_.parameters = parse_parameters(parameters_);
    const TransferPlot plot = plot_transfer(info, request_);
    write_file_atomically(plot_, plot.svg);
    document["plot"] = plot_.string();
    document["levels"] = plot.levels;
    if (json) return done;
    std::string levels = plot.levels.size() > 32 ? fmt::format("{} of them", plot.levels.size()) : "";
    for (const double level : plot.levels) {
      if (plot.levels.size() > 32) break;
      levels += fmt::format("{}{:.6g}", levels.empty() ? "" : ", ", level);
    }
    fmt::print("{}: {}\n", plot_.string(), levels.empty() ? "no fixed levels" : "levels " + levels);
    return done;
  }

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

  /// "Zhou et al. 2016" of "Zhou, Wu, Ni, 2016, arXiv:1606.06160".
  static std::string short_paper(const std::string& paper) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin < paper.size();) {
      const std::size_t end = std::min(paper.find(", ", begin), paper.size());
      parts.push_back(paper.substr(begin, end - begin));
      begin = end + 2;
    }
    const auto year = std::find_if(parts.begin(), parts.end(), [](const std::string& part) {
      return part.size() == 4 && part.find_first_not_of("0123456789") == std::string::npos;
    });
    if (year == parts.end() || year == parts.begin()) return clipped(paper, 28);
    return parts[0] + (year - parts.begin() > 1 ? " et al. " : " ") + *year;
  }

  static void print_list(const std::vector<MethodInfo>& methods) {
    Table table({{"method"}, {"encoding"}, {"for"}, {"paper"}});
    for (const MethodInfo& info : methods)
      table.row({info.id, clipped(info.encoding, 24), clipped(info.roles, 45), short_paper(info.paper)});
    fmt::print("{}\nnext: nnq methods NAME explains one: paper, parameters, how to use it\n", table.text());
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
  std::filesystem::path plot_;
  std::vector<std::string> parameters_;
  TransferRequest request_{.method = {}, .role = "weight", .bits = 2, .parameters = {}};
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(methods) { return std::make_unique<nnq::cli::Methods>(); }
