#include "cli/performance_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/table.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

/// Records of one instruction set, by group in the order of the page.
using Records = std::vector<ordered_json>;

constexpr const char* groups[][2] = {{"gemm", "Matrix products"},
                                     {"convolution", "Convolutions"},
                                     {"matvec", "Matrix times vector"},
                                     {"lstm", "Recurrent layers"},
                                     {"networks", "Whole networks"}};

ordered_json read_record(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  ordered_json record = ordered_json::parse(text, nullptr, false);
  if (!record.is_object() || !record.contains("workload") || !record.contains("contenders") ||
      !record.contains("goals") || !record.contains("machine") || !record.contains("ceilings"))
    throw Error("is no record of bench/peers", file.string(), "write it again: bench/peers/run.sh --record");
  return record;
}

/// Where a record stands on the page: its group, then the bench's order.
std::pair<std::size_t, int> place(const ordered_json& record) {
  std::size_t group = 0;
  while (group < std::size(groups) && record.value("group", std::string()) != groups[group][0]) ++group;
  return {group, record.value("order", 0)};
}

std::map<std::string, Records> read_all(const fs::path& folder) {
  std::vector<fs::path> files;
  if (fs::is_directory(folder))
    for (const auto& entry : fs::recursive_directory_iterator(folder))
      if (entry.path().extension() == ".json") files.push_back(entry.path());
  if (files.empty()) throw Error("there are no records", folder.string(), "bench/peers/run.sh --record makes them");
  std::sort(files.begin(), files.end());
  std::map<std::string, Records> by_isa;
  for (const fs::path& file : files) {
    ordered_json record = read_record(file);
    by_isa[record["machine"].value("isa", "")].push_back(std::move(record));
  }
  for (auto& [isa, records] : by_isa)
    std::stable_sort(records.begin(), records.end(),
                     [](const ordered_json& a, const ordered_json& b) { return place(a) < place(b); });
  return by_isa;
}

std::string text(const ordered_json& object, const char* key) { return object.value(key, std::string()); }

std::string time_text(double us) {
  return us < 1000 ? fmt::format("{:.1f} µs", us) : fmt::format("{:.2f} ms", us / 1000);
}

std::string isa_title(const std::string& isa) { return isa == "avx512" ? "AVX-512" : isa == "avx2" ? "AVX2" : isa; }

bool is_nnq(const ordered_json& row) { return text(row, "who") == "nnq"; }
bool is_real(const ordered_json& row) { return text(row, "what").starts_with("fp32"); }

/// The fastest peer that a row of nnq has to be seen beside: any, but float beside float.
const ordered_json* rival(const ordered_json& rows, const ordered_json& row) {
  const ordered_json* best = nullptr;
  for (const ordered_json& other : rows) {
    if (is_nnq(other) || (is_real(row) && !is_real(other))) continue;
    if (best == nullptr || other["us"] < (*best)["us"]) best = &other;
  }
  return best;
}

std::string met(const ordered_json& goal, const std::string& isa) {
  const bool reached = goal["met"] == true;
  const std::string meant = text(goal, "for");
  if (meant == isa || meant == "any") return reached ? "met" : "**not met**";
  return fmt::format("{} on this CPU ({}; the goal is for {})", reached ? "met" : "not met", isa_title(isa),
                     isa_title(meant));
}

/// What the goal's figure would be if every step ran at the ceiling of its kernel.
std::string possible(const ordered_json& goal) {
  return goal.contains("possible") ? fmt::format("{:.3g} {}", goal["possible"].get<double>(), text(goal, "unit")) : "";
}

std::string goals(const Records& records, const std::string& isa) {
  std::string out = "| workload | goal | measured | possible | |\n|---|---|---|---|---|\n";
  for (const ordered_json& record : records)
    for (const ordered_json& goal : record["goals"])
      out += fmt::format("| {} | {} | {:.3g} {} | {} | {} |\n", text(record, "workload"), text(goal, "goal"),
                         goal["measured"].get<double>(), text(goal, "unit"), possible(goal), met(goal, isa));
  return out;
}

std::string slower(const Records& records) {
  std::string out;
  for (const ordered_json& record : records) {
    for (const ordered_json& row : record["contenders"]) {
      const ordered_json* other = is_nnq(row) ? rival(record["contenders"], row) : nullptr;
      if (other == nullptr || (*other)["us"] >= row["us"]) continue;
      const std::string check = text(*other, "check");
      out += fmt::format("| {} | {} | {:.2f}x | {} {} | {} |\n", text(record, "workload"), text(row, "what"),
                         row["us"].get<double>() / (*other)["us"].get<double>(), text(*other, "who"),
                         text(*other, "what"), check);
    }
  }
  if (out.empty()) return "Nowhere in these records.\n";
  return "| workload | nnq | time over the peer's | the peer | its result |\n|---|---|---|---|---|\n" + out;
}

std::string contenders(const ordered_json& record) {
  const ordered_json& rows = record["contenders"];
  const bool operations = record.value("operations", 0.0) > 0;
  std::string out = fmt::format(
      "| | | time | quartiles |{} fastest peer / nnq | kernel | result |\n|---|---|---:|---:|{}---:|---|---|\n",
      operations ? " GOP/s |" : "", operations ? "---:|" : "");
  for (const ordered_json& row : rows) {
    const double us = row["us"].get<double>();
    const ordered_json* other = is_nnq(row) ? rival(rows, row) : nullptr;
    const double ratio = other == nullptr ? 0 : (*other)["us"].get<double>() / us;
    out += fmt::format("| {} | {} | {} | {} .. {} |{} {} | {} | {} |\n", text(row, "who"), text(row, "what"),
                       time_text(us), time_text(row["us_low"].get<double>()), time_text(row["us_high"].get<double>()),
                       operations ? fmt::format(" {:.0f} |", row["gops"].get<double>()) : "",
                       other == nullptr ? ""
                       : ratio < 1      ? fmt::format("**{:.2f}x**", ratio)
                                        : fmt::format("{:.2f}x", ratio),
                       text(row, "kernel"), text(row, "check"));
  }
  return out;
}

std::string ceilings(const ordered_json& record) {
  std::string out;
  for (const ordered_json& c : record["ceilings"])
    out += fmt::format("{}{} {:.0f} {}", out.empty() ? "" : "; ", text(c, "name"), c["value"].get<double>(),
                       text(c, "unit"));
  return out;
}

std::string section(const ordered_json& record) {
  return fmt::format(
      "#### {}\n\n{}\n{}\n\nCeilings of this core in the same minute: {}.\n\n`{}`, {}, nnq {}, {} rounds.\n\n",
      text(record, "workload"), contenders(record), text(record, "note"), ceilings(record), text(record, "command"),
      text(record, "date"), text(record, "version"), record.value("rounds", 0));
}

std::string machine(const ordered_json& m) {
  std::string features, peers;
  for (const ordered_json& f : m["features"]) features += (features.empty() ? "" : ", ") + f.get<std::string>();
  for (const auto& [name, version] : m["peers"].items())
    peers += fmt::format("{}{} ({})", peers.empty() ? "" : ", ", name, version.get<std::string>());
  return fmt::format("{} (family {}, model {}), {} cores; {}. Beside it: {}.\n", text(m, "cpu"), text(m, "family"),
                     text(m, "model"), m.value("cores", 0), features, peers);
}

std::string instruction_set(const std::string& isa, const Records& records) {
  std::string out = fmt::format("## {}\n\n{}\n### Goals\n\n{}\n### Where a peer is faster\n\n{}\n", isa_title(isa),
                                machine(records.front()["machine"]), goals(records, isa), slower(records));
  for (const auto& [group, title] : groups) {
    std::string sections;
    for (const ordered_json& record : records)
      if (text(record, "group") == group) sections += section(record);
    if (!sections.empty()) out += fmt::format("### {}\n\n{}", title, sections);
  }
  return out;
}

constexpr const char* preface = R"(# Performance

Made by `nnq reproduce --performance-page docs/performance.md` from the records under [results/performance](../results/performance), which
`bench/peers/run.sh --record` writes; not typed. Why a kernel is as fast as it is, its instructions and its ceiling: [kernels.md](kernels.md).

* One thread, pinned to a core. Contenders take turns, a sample of at least 20 ms each a round; medians over the rounds, quartiles
  beside them. Times are processor time of the thread: other jobs on the machine disturb caches and memory, not the clock.
* Results are compared before anything is timed. nnq's sums are compared with oneDNN's float product of the same integers (and with the reference
  interpreter where that takes no minutes); a peer's codes with the exact sums, scaled and rounded. Random weights and codes of full range.
* Without VNNI, oneDNN's and ONNX Runtime's products of unsigned 8-bit codes with 8-bit weights **saturate** pairs in 16 bits: fast, and wrong where it
  happens; the tables say how often. Their way out is 7-bit weights, with which they are exact; nnq's W7A8 is then the like-for-like row, its W8A8 is exact.
* Weights are packed beforehand for everybody. Column *fastest peer / nnq*: time of the fastest peer, of any precision (float beside float), over
  nnq's; below 1 nnq is slower, and the number is bold.
* The binary ceiling is that of xor and popcount; on AVX2 nnq's table lookups do without popcounts and may pass it (their own ceiling is in the list).
* Column *possible* of the goals: the figure if every step of nnq ran at its kernel's ceiling, the instructions' or the memory's, as measured in the same
  minute, and the peer as it did. It leaves out all that surrounds the innermost loops, and read rates are those
  of plain loops: a figure far beyond it is out of reach of this CPU with these kernels, one just below it is as good as that.
* Not measured, for they are in no package here: BitNet, T-MAC, ggml, ncnn, larq compute engine. Their figures that some goals name are of other machines.
  Nor are two threads and Arm, which has no machine here.

)";

}  // namespace

std::string performance_page(const fs::path& folder) {
  std::string out = preface;
  for (const auto& [isa, records] : read_all(folder)) out += instruction_set(isa, records);
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

}  // namespace nnq::cli
