#include "cli/results_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <vector>

#include "cli/table.h"
#include "core/atomic_file.h"
#include "nnq/error.h"
#include "nnq/version.h"

namespace nnq::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

ordered_json read_json(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  ordered_json document = ordered_json::parse(text, nullptr, false);
  if (!document.is_object()) throw Error("is no JSON document", file.string(), "write it again with --record");
  return document;
}

std::string number(const ordered_json& value, int digits) {
  return value.is_number() ? fixed(value.get<double>(), digits) : "";
}

std::string text_of(const ordered_json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

ordered_json value_of(const ordered_json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() ? ordered_json(nullptr) : *it;
}

/// The command that made a record, as code; what a record lacks is not made up.
std::string command_text(const ordered_json& record) {
  const std::string command = text_of(record, "command");
  return command.empty() ? "not recorded" : "`" + command + "`";
}

/// Text that may stand in a cell.
std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.replace(at, 1, "\\|");
  return text;
}

std::string machine_text(const ordered_json& record) {
  const ordered_json machine = value_of(record, "machine");
  if (!machine.is_object()) return "";
  return fmt::format("{}, {} cores, {}", text_of(machine, "cpu"), value_of(machine, "cores").dump(),
                     text_of(machine, "isa"));
}

std::string expected(const ordered_json& claim) {
  std::string limits;
  if (claim["at_least"].is_number()) limits += fmt::format("at least {}", claim["at_least"].dump());
  if (claim["at_most"].is_number())
    limits += fmt::format("{}at most {}", limits.empty() ? "" : ", ", claim["at_most"].dump());
  return text_of(claim, "expect") + " " + limits;
}

std::string paper_section(const ordered_json& record) {
  std::string out = fmt::format("### {}: {}\n\n", text_of(record, "paper"), text_of(record, "title"));
  out +=
      "| claim | published | our setting | accuracy % (or perplexity) | drop | gain | spread, seeds | expected | holds "
      "|\n";
  out += "|---|---|---|---|---|---|---|---|---|\n";
  for (const ordered_json& claim : record["claims"]) {
    const std::size_t seeds = claim["seeds"].size();
    out += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", cell(text_of(claim, "claim")),
                       cell(text_of(claim, "published")), cell(text_of(claim, "setting")), number(claim["ours"], 2),
                       number(value_of(claim, "drop"), 2), number(value_of(claim, "gain"), 2),
                       seeds > 1 ? fmt::format("{}, {} seeds", number(claim["spread"], 2), seeds) : "one seed",
                       cell(expected(claim)), claim["holds"] == true ? "yes" : "**no**");
  }
  const std::string machine = machine_text(record);
  const std::string command =
      text_of(record, "command").empty() ? "The command was not recorded; measured" : command_text(record);
  return out + fmt::format("\n{} on {}.\n\n", command, machine.empty() ? "a machine that was not recorded" : machine);
}

std::string run_row(const fs::path& file, const ordered_json& record) {
  const double bytes = value_of(record, "bytes").is_number() ? record["bytes"].get<double>() : 0;
  const double float_bytes = value_of(record, "float_bytes").is_number() ? record["float_bytes"].get<double>() : 0;
  const ordered_json value = value_of(record, "value"), real = value_of(record, "float_value");
  const bool compared = value.is_number() && real.is_number() && bytes != float_bytes;
  const ordered_json seeds = value_of(record, "seeds");
  return fmt::format(
      "| {} | {} | {} | {} | {} | {} | {} | {} |\n", file.stem().string(), number(value, 2),
      compared ? number(real, 2) : "", compared ? fixed(real.get<double>() - value.get<double>(), 2) : "",
      bytes > 0 ? grouped(static_cast<std::int64_t>(bytes)) : "",
      bytes > 0 && compared ? fixed(float_bytes / bytes, 1) + "x" : "",
      seeds.is_array() && seeds.size() > 1 ? fmt::format("{} ({})", seeds.size(), number(value_of(record, "spread"), 2))
                                           : "1",
      cell(command_text(record)));
}

std::string any_cell(const ordered_json& value) {
  if (value.is_string()) return cell(value.get<std::string>());
  if (value.is_boolean()) return value == true ? "yes" : "no";
  if (value.is_number_float()) return fixed(value.get<double>(), 3);
  return value.is_null() ? "" : value.dump();
}

/// A benchmark's rows under the names of their keys; its other numbers in front.
std::string bench_section(const ordered_json& record) {
  std::string out = fmt::format("### {}\n\n", text_of(record, "bench"));
  for (const auto& [key, value] : record.items())
    if (key != "bench" && (value.is_number() || value.is_boolean() || (value.is_string() && key != "command")))
      out += fmt::format("{}{} {}", out.back() == '\n' ? "" : ", ", key, any_cell(value));
  std::string head = "|", rule = "|", rows;
  for (const ordered_json& row : value_of(record, "rows")) {
    if (rows.empty())
      for (const auto& [key, value] : row.items()) {
        head += " " + cell(key) + " |";
        rule += "---|";
      }
    rows += "|";
    for (const auto& [key, value] : row.items()) rows += " " + any_cell(value) + " |";
    rows += "\n";
  }
  const std::string machine = machine_text(record);
  return out + fmt::format(".\n\n{}\n{}\n{}\n{}{}.\n\n", head, rule, rows, command_text(record),
                           machine.empty() ? "" : " on " + machine);
}

std::vector<fs::path> json_files(const fs::path& folder) {
  std::vector<fs::path> files;
  if (!fs::is_directory(folder))
    throw Error("there is no folder of results", folder.string(), "run it in nnq's source tree");
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

void write_record(const fs::path& folder, const std::string& command, const ordered_json& experiment) {
  ordered_json record = {{"command", command}, {"version", version()}};
  record.update(experiment);
  const fs::path run = experiment["claims"].front()["seeds"].front()["run"].get<std::string>();
  record["machine"] = value_of(read_json(run / "run.json"), "machine");
  fs::create_directories(folder);
  write_file_atomically(folder / (text_of(experiment, "paper") + ".json"), record.dump(2) + "\n");
}

std::string results_page(const fs::path& folder) {
  std::string papers, runs, benches, folder_of_runs;
  for (const fs::path& file : json_files(folder)) {
    const ordered_json record = read_json(file);
    if (record.contains("claims")) {
      papers += paper_section(record);
      continue;
    }
    if (record.contains("bench")) benches += bench_section(record);
    if (!record.contains("value")) continue;
    if (const std::string name = file.parent_path().filename().string(); name != folder_of_runs) {
      folder_of_runs = name;
      runs += fmt::format(
          "\n### {}\n\n{}\n\n| result | value | float | drop | bytes | smaller | seeds (spread) | command |\n"
          "|---|---|---|---|---|---|---|---|\n",
          name, text_of(record, "data"));
    }
    runs += run_row(file, record);
  }
  return "# Results\n\nMade by `nnq reproduce --page docs/results.md` from the JSON files under [results](../results); "
         "not "
         "typed. A\npaper's number is quoted as the paper's; ours is measured by the command beside it, on the packed "
         "model. Accuracies are\nmeans over seeds; spread is the largest less the smallest.\n\n## Papers: published "
         "beside measured\n\n" +
         (papers.empty() ? "None recorded yet.\n" : papers) + "\n## Single runs\n" + runs +
         (benches.empty() ? "" : "\n## Benchmarks\n\n" + benches);
}

}  // namespace nnq::cli
