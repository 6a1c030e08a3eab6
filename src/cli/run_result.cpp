#include "cli/run_result.h"

#include <fmt/format.h>

#include "cli/table.h"
#include "cli/verb.h"
#include "core/text.h"

namespace nnq::cli {

int show_result(const RunResult& result, bool json, nlohmann::ordered_json& document) {
  document["run"] = result.run;
  document["model"] = result.model.string();
  document["packed"] = result.packed.string();
  document["bytes"] = result.bytes;
  document["float_bytes"] = result.float_bytes;
  document["metric"] = result.metric;
  document["value"] = result.value;
  document["float_value"] = result.float_value;
  document["met"] = result.met;
  document["interrupted"] = result.interrupted;
  document["seconds"] = result.seconds;
  if (json) return result.interrupted ? stopped : result.met ? done : not_met;
  if (result.interrupted) {
    fmt::print("interrupted: {} keeps the last checkpoint; the same command with --run {} --resume goes on\n",
               result.run, result.run);
    return stopped;
  }

  // A network quantized before it learned anything has a float size, but no float accuracy.
  const bool has_float = result.float_bytes > 0, measured = has_float && result.float_value > 0;
  Table table({{""}, {result.metric, Table::Align::right}, {"bytes on disk", Table::Align::right}, {"file"}});
  if (has_float)
    table.row({"float", measured ? fixed(result.float_value, 2) : "",
               grouped(static_cast<std::int64_t>(result.float_bytes)), ""});
  table.row({"result", fixed(result.value, 2), grouped(static_cast<std::int64_t>(result.bytes)),
             result.packed.empty() ? result.model.string() : result.packed.string()});
  fmt::print("{}", table.text());
  if (has_float && result.bytes > 0) {
    std::string change;
    if (measured && result.metric == "perplexity")
      change = fmt::format("{} changed by {:+.2f} %, ", result.metric, 100 * (result.value / result.float_value - 1));
    else if (measured)
      change = fmt::format("{} changed by {:+.2f} points, ", result.metric, result.value - result.float_value);
    fmt::print("\n{:.1f}x smaller, {}{:.0f} s\n",
               static_cast<double>(result.float_bytes) / static_cast<double>(result.bytes), change, result.seconds);
  }
  if (!result.met) fmt::print("\nthe stated requirement was NOT met; the best result is in {}\n", result.run);
  fmt::print("next: nnq inspect {}\n",
             shell_word(result.packed.empty() ? result.model.string() : result.packed.string()));
  return result.met ? done : not_met;
}

}  // namespace nnq::cli
