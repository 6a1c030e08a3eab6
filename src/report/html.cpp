#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nnq/report.h"
#include "nnq/version.h"
#include "report/escaped.h"

namespace nnq {
namespace {

const char* color(std::size_t i) {
  static constexpr const char* colors[] = {"#2563eb", "#d97706", "#059669", "#dc2626",
                                           "#7c3aed", "#0891b2", "#65a30d", "#be185d"};
  return colors[i % 8];
}

struct Axis {
  double low, high;
  double at(double v, double from, double to) const { return from + (v - low) / (high - low) * (to - from); }
};

Axis axis_over(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double margin = *high > *low ? (*high - *low) * 0.06 : std::max(1e-3, std::abs(*high) * 0.05);
  return {*low - margin, *high + margin};
}

std::string frame(const std::string& title, const Axis& y) {
  std::string out =
      fmt::format("<figure><figcaption>{}</figcaption><svg viewBox='0 0 480 260' role='img'>", escaped(title));
  for (int i = 0; i <= 4; ++i) {
    const double value = y.low + (y.high - y.low) * i / 4;
    const double at = y.at(value, 230, 12);
    out += fmt::format(
        "<line x1='52' x2='470' y1='{0:.1f}' y2='{0:.1f}' class='grid'/><text x='46' y='{1:.1f}' "
        "class='y'>{2:.4g}</text>",
        at, at + 4, value);
  }
  return out;
}

/// One curve a run over its epochs.
std::string curve_figure(const std::string& key, const std::vector<RunSummary>& runs) {
  std::vector<double> all;
  std::size_t longest = 1;
  for (const RunSummary& run : runs) {
    const auto it = run.curves.find(key);
    if (it == run.curves.end()) continue;
    for (const double v : it->second) {
      if (std::isfinite(v)) all.push_back(v);
    }
    longest = std::max(longest, it->second.size());
  }
  if (all.size() < 2) return {};
  const Axis y = axis_over(all);
  const Axis x{1, std::max<double>(2, static_cast<double>(longest))};
  std::string out = frame(key + " by epoch", y);
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const auto it = runs[r].curves.find(key);
    if (it == runs[r].curves.end()) continue;
    std::string points;
    for (std::size_t e = 0; e < it->second.size(); ++e) {
      if (!std::isfinite(it->second[e])) continue;
      points += fmt::format("{:.1f},{:.1f} ", x.at(static_cast<double>(e + 1), 60, 462), y.at(it->second[e], 230, 12));
    }
    out += fmt::format("<polyline points='{}' fill='none' stroke='{}' stroke-width='2'><title>{}</title></polyline>",
                       points, color(r), escaped(runs[r].name));
  }
  return out +
         fmt::format("<text x='60' y='250' class='x'>1</text><text x='462' y='250' class='x'>{}</text></svg></figure>",
                     longest);
}

/// Accuracy over bytes on disk (logarithmic), the trade that compression makes.
std::string trade_figure(const std::vector<RunSummary>& runs) {
  std::vector<double> sizes, values;
  for (const RunSummary& run : runs) {
    if (!run.has_value || run.bytes == 0) continue;
    sizes.push_back(std::log10(static_cast<double>(run.bytes)));
    values.push_back(run.value);
  }
  if (sizes.size() < 2) return {};
  const Axis x = axis_over(sizes), y = axis_over(values);
  std::string out = frame("accuracy (%) over bytes on disk", y);
  for (std::size_t r = 0; r < runs.size(); ++r) {
    if (!runs[r].has_value || runs[r].bytes == 0) continue;
    const double px = x.at(std::log10(static_cast<double>(runs[r].bytes)), 60, 462), py = y.at(runs[r].value, 230, 12);
    out += fmt::format(
        "<circle cx='{:.1f}' cy='{:.1f}' r='5' fill='{}'/><text x='{:.1f}' y='{:.1f}' class='label'>{}</text>", px, py,
        color(r), std::min(px + 8, 380.0), py - 7, escaped(runs[r].name));
  }
  out += fmt::format("<text x='60' y='250' class='x'>{:.0f} kB</text><text x='440' y='250' class='x'>{:.0f} kB</text>",
                     std::pow(10.0, x.low) / 1000, std::pow(10.0, x.high) / 1000);
  return out + "</svg></figure>";
}

std::string table(const std::vector<RunSummary>& runs, const std::vector<RunMeasurement>& measurements) {
  std::string out =
      "<table><thead><tr><th>run</th><th>data</th><th>accuracy %</th><th>of float</th><th>bytes on "
      "disk</th><th>smaller</th>"
      "<th>ms an image</th><th>agreement %</th></tr></thead><tbody>";
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const RunSummary& run = runs[r];
    const bool measured = r < measurements.size() && measurements[r].done;
    const double value = measured ? measurements[r].value : run.value;
    out += fmt::format("<tr><td><i style='background:{}'></i>{}</td><td>{}</td>", color(r), escaped(run.name),
                       escaped(run.data));
    out += run.has_value || measured ? fmt::format("<td class='n'>{:.2f}</td>", value) : "<td></td>";
    out += run.has_float ? fmt::format("<td class='n'>{:+.2f}</td>", value - run.float_value) : "<td></td>";
    out += fmt::format("<td class='n'>{}</td>", run.bytes);
    out += run.has_float && run.bytes > 0
               ? fmt::format("<td class='n'>{:.1f}x</td>",
                             static_cast<double>(run.float_bytes) / static_cast<double>(run.bytes))
               : "<td></td>";
    out += measured ? fmt::format("<td class='n'>{:.3f}</td>", measurements[r].milliseconds) : "<td></td>";
    out += measured && measurements[r].has_agreement
               ? fmt::format("<td class='n'>{:.2f}</td></tr>", measurements[r].agreement)
               : "<td></td></tr>";
  }
  return out + "</tbody></table>";
}

}  // namespace

std::string report_html(const std::vector<RunSummary>& runs, const std::vector<RunMeasurement>& measurements) {
  std::string out =
      "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' "
      "content='width=device-width'><title>nnq report</title><style>"
      "body{font:15px/1.5 system-ui,sans-serif;max-width:1040px;margin:2rem auto;padding:0 1rem;color:#1f2937}"
      "table{border-collapse:collapse;width:100%}th,td{padding:.35rem .6rem;border-bottom:1px solid "
      "#e5e7eb;text-align:left}"
      "td.n{text-align:right;font-variant-numeric:tabular-nums}td "
      "i{display:inline-block;width:.7em;height:.7em;margin-right:.5em;border-radius:2px}"
      "figure{display:inline-block;width:490px;margin:1rem 10px 0 "
      "0}figcaption{font-weight:600}svg{width:100%}.grid{stroke:#e5e7eb}"
      "text{font-size:11px;fill:#6b7280}.y{text-anchor:end}.x{text-anchor:middle}.label{fill:#1f2937}</style><h1>nnq "
      "report</h1>";
  out += table(runs, measurements) + trade_figure(runs);
  std::vector<std::string> keys;
  for (const RunSummary& run : runs) {
    for (const auto& [key, values] : run.curves) keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  for (const std::string& key : keys) out += curve_figure(key, runs);
  out += fmt::format(
      "<p>Written by nnq {}. Accuracy on the whole test split; bytes counted from the files.</p></html>\n", version());
  return out;
}

}  // namespace nnq
