#include "report/interaction_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "nnq/error.h"
#include "report/escaped.h"

namespace nnq {
namespace {

constexpr double kWidth = 640, kLeft = 90, kRight = 620, kTop = 44, kPanel = 150, kSpan = 90;

std::string panel(const std::string& layer, const std::vector<PlotEdge>& edges, double top) {
  int last = 0;
  for (const PlotEdge& e : edges) last = std::max({last, e.teacher, e.student});
  const auto x = [&](int channel) { return kLeft + (kRight - kLeft) * channel / std::max(last, 1); };
  const double above = top + 24, below = above + kSpan;
  std::string out = fmt::format(
      "<text class='end' x='{0}' y='{1}'>teachers</text><text class='end' x='{0}' y='{2}'>students</text>"
      "<text x='{3}' y='{4}' font-weight='600'>{5}: {6} edges</text>\n",
      kLeft - 12, above + 4, below + 4, kLeft - 4, top + 8, escaped(layer), edges.size());
  std::map<int, bool> teachers, students;
  for (const PlotEdge& e : edges) {
    teachers[e.teacher] = students[e.student] = true;
    out +=
        fmt::format("<line x1='{:.1f}' y1='{}' x2='{:.1f}' y2='{}' stroke='{}' stroke-width='{:.1f}' opacity='.75'/>\n",
                    x(e.teacher), above, x(e.student), below, e.influence > 0 ? "#0072b2" : "#d55e00",
                    0.5 * (std::abs(e.influence) - 1));
  }
  for (const auto& [channels, y] : {std::pair{&teachers, above}, {&students, below}})
    for (const auto& [channel, seen] : *channels)
      out += fmt::format("<circle cx='{:.1f}' cy='{}' r='3' fill='#374151'><title>channel {}</title></circle>\n",
                         x(channel), y, channel);
  return out;
}

}  // namespace

std::vector<PlotEdge> read_interactions(const std::filesystem::path& run) {
  const std::filesystem::path file = run / "metrics.jsonl";
  std::ifstream in(file);
  std::vector<PlotEdge> edges;
  for (std::string line; std::getline(in, line);) {
    const auto row = nlohmann::json::parse(line, nullptr, false);
    if (!row.is_object() || row.value("event", std::string()) != "interaction") continue;
    edges.push_back({row.value("layer", std::string()), row.value("teacher", 0), row.value("student", 0),
                     row.value("influence", 0)});
  }
  if (edges.empty())
    throw Error("holds no channel interactions", file.string(), "a recipe with the stage mine_interactions makes them");
  return edges;
}

std::string interactions_svg(const std::vector<PlotEdge>& edges, const std::string& title) {
  std::vector<std::pair<std::string, std::vector<PlotEdge>>> layers;  // in order of appearance
  for (const PlotEdge& edge : edges) {
    const auto at = std::find_if(layers.begin(), layers.end(), [&](const auto& l) { return l.first == edge.layer; });
    if (at == layers.end())
      layers.push_back({edge.layer, {edge}});
    else
      at->second.push_back(edge);
  }
  const double height = kTop + kPanel * static_cast<double>(layers.size());
  std::string out = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {0} {1}' role='img' font-family='system-ui,sans-serif' "
      "font-size='13'>\n<title>{2}</title>\n<style>text{{fill:#374151}}.end{{text-anchor:end}}</style>\n"
      "<rect width='{0}' height='{1}' fill='#fff'/>\n<text x='{3}' y='26' font-size='15' font-weight='600' "
      "text-anchor='middle'>{2}</text>\n",
      kWidth, height, escaped(title), kWidth / 2);
  for (std::size_t i = 0; i < layers.size(); ++i)
    out += panel(layers[i].first, layers[i].second, kTop + kPanel * static_cast<double>(i));
  return out + "</svg>\n";
}

}  // namespace nnq
