#include "record.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <thread>

#include "core/atomic_file.h"
#include "float_libraries.h"
#include "kernels/ceilings.h"
#include "nnq/error.h"
#include "onednn.h"
#include "onnxruntime.h"
#include "runtime/roofline.h"

namespace nnq::peers {
namespace {

using nlohmann::ordered_json;

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

/// "who what" of a row against a pattern; a last * stands for anything.
bool fits(const std::string& name, const std::string& pattern) {
  if (!pattern.ends_with('*')) return name == pattern;
  return name.starts_with(pattern.substr(0, pattern.size() - 1));
}

std::string name_of(const ordered_json& row) {
  return row["who"].get<std::string>() + " " + row["what"].get<std::string>();
}

/// The fastest row that fits one of the patterns; null when there is none.
const ordered_json* fastest(const ordered_json& rows, const std::vector<std::string>& patterns) {
  const ordered_json* best = nullptr;
  for (const ordered_json& row : rows)
    for (const std::string& pattern : patterns)
      if (fits(name_of(row), pattern) && (best == nullptr || row["us"] < (*best)["us"])) best = &row;
  return best;
}

std::string goal_text(const Goal& goal) {
  if (goal.kind == Goal::Kind::gops) return fmt::format("{}: at least {:g} GOP/s", goal.of, goal.limit);
  if (goal.kind == Goal::Kind::at_most_ms) return fmt::format("{}: at most {:g} ms", goal.of, goal.limit);
  std::string names;
  for (std::string pattern : goal.against) {
    if (pattern.ends_with('*')) pattern.pop_back();
    names += (names.empty() ? "" : ", ") + pattern;
  }
  return fmt::format("{}: at least {:g}x {}{}", goal.of, goal.limit, goal.against.size() > 1 ? "the best of " : "",
                     names);
}

ordered_json goal_row(const std::string& text, const std::string& isa, double measured, const char* unit, bool met) {
  return {{"goal", text}, {"for", isa}, {"measured", measured}, {"unit", unit}, {"met", met}};
}

/// Microseconds of a unit of work if every step ran at the ceiling of its kernel's instructions or of the memory, the
/// slower of the two; 0: not known. Steps without a ceiling count for nothing: the bound is one from below.
double least_microseconds(const Contender& contender, const std::vector<Ceiling>& ceilings) {
  const Roofline roofline(ceilings, contender.working_set, 1);
  double sum = 0;
  for (const StepInfo& step : contender.steps) sum += roofline.of(step).microseconds;
  return sum / contender.units;
}

ordered_json judge(const Workload& workload, const ordered_json& rows, double binary_ceiling) {
  ordered_json goals = ordered_json::array();
  for (const Goal& goal : workload.goals) {
    const ordered_json* of = fastest(rows, {"nnq " + goal.of});
    if (of == nullptr) continue;
    const double us = (*of)["us"].get<double>(), least = of->value("least_us", 0.0);
    ordered_json row;
    if (goal.kind == Goal::Kind::gops) {
      const double gops = workload.operations / us / 1e3;
      row = goal_row(goal_text(goal), goal.isa, gops, "GOP/s", gops >= goal.limit);
      if (least > 0) row["possible"] = workload.operations / least / 1e3;
    } else if (goal.kind == Goal::Kind::at_most_ms) {
      row = goal_row(goal_text(goal), goal.isa, us / 1000, "ms", us / 1000 <= goal.limit);
      if (least > 0) row["possible"] = least / 1000;
    } else if (const ordered_json* other = fastest(rows, goal.against)) {
      const double theirs = (*other)["us"].get<double>(), ratio = theirs / us;
      const bool own = (*other)["who"] == "nnq";  // fewer bits beside more: for every machine
      row = goal_row(goal_text(goal), own ? "any" : goal.isa, ratio, "x", ratio >= goal.limit);
      if (least > 0 && !own) row["possible"] = theirs / least;
    } else {
      continue;
    }
    goals.push_back(row);
  }
  for (const GoalOfCeiling& goal : workload.ceiling_goals) {
    const ordered_json* of = fastest(rows, {"nnq " + goal.of});
    if (of == nullptr || binary_ceiling <= 0) continue;
    const double percent = 100 * workload.operations / (*of)["us"].get<double>() / 1e3 / binary_ceiling;
    goals.push_back(goal_row(fmt::format("{}: at least {:g} % of the binary ceiling", goal.of, goal.percent), goal.isa,
                             percent, "%", percent >= goal.percent));
  }
  return goals;
}

/// The better of two measurements of each ceiling.
std::vector<Ceiling> better(std::vector<Ceiling> before, const std::vector<Ceiling>& after) {
  for (std::size_t i = 0; i < before.size(); ++i) before[i].value = std::max(before[i].value, after[i].value);
  return before;
}

/// `binary`: of xor and popcount in the widest registers.
ordered_json described(const std::vector<Ceiling>& ceilings, double& binary) {
  ordered_json list = ordered_json::array();
  Isa widest = Isa::portable;
  for (const Ceiling& c : ceilings) {
    list.push_back({{"name", c.name}, {"unit", c.unit}, {"value", c.value}, {"isa", nnq::name_of(c.isa)}});
    if (c.kind != CeilingKind::binary || c.isa < widest) continue;
    widest = c.isa;
    binary = c.value;
  }
  return list;
}

std::string cpu_text(const char* key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key)) return line.substr(line.find(':') + 2);
  return "";
}

}  // namespace

ordered_json measure(const Workload& workload, const Turns& turns) {
  const std::vector<Ceiling> before = measure_ceilings(active_isa());
  std::vector<std::vector<double>> times(workload.contenders.size());
  for (const Contender& c : workload.contenders) c.sample(1);  // warm
  for (int round = 0; round < turns.rounds; ++round) {
    for (std::size_t i = 0; i < times.size(); ++i) {
      times[i].push_back(workload.contenders[i].sample(turns.least_ms));
    }
  }
  const std::vector<Ceiling> ceilings = better(before, measure_ceilings(active_isa()));
  ordered_json rows = ordered_json::array();
  for (std::size_t i = 0; i < times.size(); ++i) {
    const Contender& c = workload.contenders[i];
    const double us = std::max(quantile(times[i], 0.5), 1e-3);
    ordered_json row = {{"who", c.who},
                        {"what", c.what},
                        {"us", us},
                        {"us_low", quantile(times[i], 0.25)},
                        {"us_high", quantile(times[i], 0.75)}};
    if (workload.operations > 0) row["gops"] = workload.operations / us / 1e3;
    if (const double least = least_microseconds(c, ceilings); least > 0) row["least_us"] = least;
    if (c.bytes > 0) row["bytes"] = c.bytes;
    row["kernel"] = c.kernel;
    row["check"] = c.check;
    rows.push_back(row);
  }
  double binary = 0;
  ordered_json record = {{"workload", workload.name},
                         {"operations", workload.operations},
                         {"note", workload.note},
                         {"rounds", turns.rounds},
                         {"least_ms", turns.least_ms}};
  record["ceilings"] = described(ceilings, binary);
  record["contenders"] = rows;
  record["goals"] = judge(workload, rows, binary);
  return record;
}

ordered_json machine() {
  ordered_json features = ordered_json::array();
  const std::string flags = " " + cpu_text("flags") + " ";
  for (const char* flag :
       {"avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_vpopcntdq", "avx512_bf16"})
    if (flags.find(std::string(" ") + flag + " ") != std::string::npos) features.push_back(flag);
  return {{"cpu", cpu_text("model name")},
          {"family", cpu_text("cpu family")},
          {"model", cpu_text("model\t")},
          {"cores", static_cast<int>(std::thread::hardware_concurrency())},
          {"features", features},
          {"isa", nnq::name_of(active_isa())},
          {"peers",
           {{"oneDNN", onednn_version()},
            {"ONNX Runtime", OnnxRuntime::version()},
            {"OpenBLAS", openblas_version()},
            {"XNNPACK", "Debian's of 2022-02-16"}}}};
}

std::string table(const ordered_json& record) {
  std::string out = fmt::format("\n{}\n", record["workload"].get<std::string>());
  const double operations = record["operations"].get<double>();
  const ordered_json& rows = record["contenders"];
  const double first = rows.front()["us"].get<double>();
  out += fmt::format("  {:<13} {:<24} {:>11} {:>8} {:>10}  {:<34} {}\n", "", "", "us", operations > 0 ? "GOP/s" : "",
                     "time ratio", "kernel", "check");
  for (const ordered_json& row : rows) {
    const double us = row["us"].get<double>();
    out += fmt::format("  {:<13} {:<24} {:>11.2f} {:>8} {:>10.2f}  {:<34} {}\n", row["who"].get<std::string>(),
                       row["what"].get<std::string>(), us,
                       row.contains("gops") ? fmt::format("{:.0f}", row["gops"].get<double>()) : "", us / first,
                       row["kernel"].get<std::string>(), row["check"].get<std::string>());
  }
  for (const ordered_json& goal : record["goals"])
    out += fmt::format("  {:<7} {:<70} {:>9.3g} {:<5} (goal for {})\n", goal["met"] == true ? "met" : "NOT MET",
                       goal["goal"].get<std::string>(), goal["measured"].get<double>(), goal["unit"].get<std::string>(),
                       goal["for"].get<std::string>());
  return out;
}

void write_record(const std::filesystem::path& folder, const ordered_json& record) {
  std::string name;
  for (const char c : record["workload"].get<std::string>())
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      name.push_back(static_cast<char>(std::tolower(c)));
    else if (!name.ends_with('_'))
      name.push_back('_');
  const std::filesystem::path to =
      folder / record["machine"]["isa"].get<std::string>() / record["group"].get<std::string>();
  std::filesystem::create_directories(to);
  write_file_atomically(to / (name + ".json"), record.dump(2) + "\n");
}

}  // namespace nnq::peers
