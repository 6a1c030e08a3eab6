#include <fmt/format.h>

#include "cli/table.h"
#include "cli/verb.h"
#include "nnq/dataset.h"
#include "nnq/error.h"
#include "nnq/text.h"

namespace nnq::cli {
namespace {

class Data final : public Verb {
 public:
  std::string name() const override { return "data"; }
  std::string summary() const override { return "list data sets: where each was found, and where it was looked for"; }
  std::vector<std::string> examples() const override { return {"nnq data", "NNQ_DATA=/srv/data nnq data cifar10"}; }
  void options(CLI::App& app) override { app.add_option("NAME", wanted_, "load one data set and describe it"); }

  int run(bool json, nlohmann::ordered_json& document) override {
    if (!wanted_.empty()) return describe(json, document);
    document["searched"] = nlohmann::ordered_json::array();
    for (const auto& folder : dataset_search_path()) document["searched"].push_back(folder.string());
    document["data_sets"] = nlohmann::ordered_json::array();
    Table table({{"data set"}, {"kind"}, {"found"}, {"what it is"}});
    for (const DatasetInfo& info : all_datasets()) {
      const std::string found = find_dataset(info.name).string();
      const std::string kind = is_text(info.name) ? "text" : "images";
      document["data_sets"].push_back({{"name", info.name},
                                       {"kind", kind},
                                       {"found", found},
                                       {"description", info.description},
                                       {"package", info.package}});
      const std::string missing = info.package.empty() ? "not found" : "not found; apt-get install " + info.package;
      table.row({info.name, kind, found.empty() ? missing : found, info.description});
    }
    if (!json) {
      fmt::print("{}\nlooked in:\n", table.text());
      for (const auto& folder : dataset_search_path()) fmt::print("  {}\n", folder.string());
      fmt::print(
          "\nalso:  images:FOLDER (class/name.png), npy:IMAGES.npy,LABELS.npy, text:FILE (words), "
          "chars:FILE (characters)\nnext:  nnq data NAME loads and describes one\n");
    }
    return done;
  }

 private:
  int describe(bool json, nlohmann::ordered_json& document) {
    document["name"] = wanted_;
    document["splits"] = nlohmann::ordered_json::array();
    if (is_text(wanted_)) return describe_text(json, document);
    Table table(
        {{"split"}, {"samples", Table::Align::right}, {"shape"}, {"classes", Table::Align::right}, {"hash"}, {"from"}});
    for (const auto& [split, label] : {std::pair{Split::train, "train"}, std::pair{Split::test, "test"}}) {
      const Samples samples = load_dataset(wanted_, split);
      const Shape& shape = samples.images.shape();
      const Shape sample(shape.begin() + 1, shape.end());
      const std::string hash = fmt::format("{:016x}", samples.hash);
      document["splits"].push_back({{"split", label},
                                    {"count", shape[0]},
                                    {"shape", sample},
                                    {"classes", samples.classes},
                                    {"hash", hash},
                                    {"source", samples.source}});
      table.row(
          {label, grouped(shape[0]), to_string(sample), std::to_string(samples.classes.size()), hash, samples.source});
    }
    if (!json) fmt::print("{}", table.text());
    return done;
  }

  int describe_text(bool json, nlohmann::ordered_json& document) {
    Table table({{"split"}, {"tokens", Table::Align::right}, {"vocabulary", Table::Align::right}, {"hash"}, {"from"}});
    for (const auto& [split, label] : {std::pair{Split::train, "train"}, std::pair{Split::validation, "validation"},
                                       std::pair{Split::test, "test"}}) {
      const Text corpus = load_text(wanted_, split);
      const std::string hash = fmt::format("{:016x}", corpus.hash);
      document["splits"].push_back({{"split", label},
                                    {"count", corpus.tokens.size()},
                                    {"vocabulary", corpus.vocabulary.size()},
                                    {"characters", corpus.characters},
                                    {"hash", hash},
                                    {"source", corpus.source}});
      table.row({label, grouped(static_cast<std::int64_t>(corpus.tokens.size())),
                 grouped(static_cast<std::int64_t>(corpus.vocabulary.size())), hash, corpus.source});
    }
    if (!json) fmt::print("{}", table.text());
    return done;
  }

  std::string wanted_;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(data) { return std::make_unique<nnq::cli::Data>(); }
