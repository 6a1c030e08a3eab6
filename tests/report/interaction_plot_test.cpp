#include "report/interaction_plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "nnq/error.h"

namespace nnq {
namespace {

using ::testing::HasSubstr;

TEST(InteractionPlot, OneLineAnEdgeOnePanelALayer) {
  const std::vector<PlotEdge> edges = {{"conv1", 0, 3, 3}, {"conv1", 2, 3, -5}, {"conv<2>", 1, 0, 3}};
  const std::string svg = interactions_svg(edges, "mined");
  std::size_t lines = 0;
  for (std::size_t at = svg.find("<line"); at != std::string::npos; at = svg.find("<line", at + 1)) ++lines;
  EXPECT_EQ(lines, 3U);
  EXPECT_THAT(svg, HasSubstr("conv1: 2 edges"));
  EXPECT_THAT(svg, HasSubstr("conv&lt;2&gt;: 1 edges"));
  EXPECT_THAT(svg, HasSubstr("stroke='#d55e00' stroke-width='2.0'"));  // -5: takes, two steps to each side
  EXPECT_EQ(svg, interactions_svg(edges, "mined"));
}

TEST(InteractionPlot, ReadsTheRecordsOfARun) {
  const std::filesystem::path run = std::filesystem::temp_directory_path() / "nnq_interaction_plot_test";
  std::filesystem::create_directories(run);
  std::ofstream(run / "metrics.jsonl")
      << R"({"event": "interaction", "layer": "a", "teacher": 1, "student": 2, "influence": -3, "unit": 4})"
      << "\n{\"epoch\": 1}\n";
  const std::vector<PlotEdge> edges = read_interactions(run);
  ASSERT_EQ(edges.size(), 1U);
  EXPECT_EQ(edges[0].layer, "a");
  EXPECT_EQ(edges[0].influence, -3);
  std::ofstream(run / "metrics.jsonl") << "{\"epoch\": 1}\n";
  EXPECT_THROW(read_interactions(run), Error);
  std::filesystem::remove_all(run);
}

}  // namespace
}  // namespace nnq
