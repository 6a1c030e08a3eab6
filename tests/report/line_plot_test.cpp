#include "report/line_plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "nnq/error.h"

namespace nnq {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

LinePlot two_curves() {
  return {.title = "a < b & c",
          .x_label = "epsilon",
          .y_label = "accuracy, %",
          .series = {{"float", {{0, 90}, {4, 40}, {8, 10}}}, {"binary", {{0, 80}, {4, NAN}, {8, 20}}}},
          .y_low = 0,
          .y_high = 100};
}

TEST(LinePlot, DrawsAxesLabelsLegendAndEveryFinitePoint) {
  const std::string svg = to_svg(two_curves());
  EXPECT_THAT(svg, HasSubstr("a &lt; b &amp; c"));
  for (const char* text : {">epsilon<", ">accuracy, %<", ">float<", ">binary<", ">0<", ">20<", ">100<", ">8<"})
    EXPECT_THAT(svg, HasSubstr(text));
  std::size_t circles = 0;
  for (std::size_t at = svg.find("<circle"); at != std::string::npos; at = svg.find("<circle", at + 1)) ++circles;
  EXPECT_EQ(circles, 5u);
  // (0, 90) of 0..100 and (8, 10): the corners of the plane are (70, 340) and (620, 44).
  EXPECT_THAT(svg, HasSubstr("points='70.0,73.6 345.0,221.6 620.0,310.4'"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_EQ(svg, to_svg(two_curves()));
}

TEST(LinePlot, StepsAreDrawnAsSteps) {
  LinePlot plot = two_curves();
  plot.series = {{"levels", {{0, 0}, {1, 50}, {2, 100}}}};
  plot.steps = true;
  EXPECT_THAT(to_svg(plot), HasSubstr("points='70.0,340.0 345.0,340.0 345.0,192.0 620.0,192.0 620.0,44.0'"));
}

TEST(LinePlot, OnePointIsEnoughAndNoneIsAnError) {
  LinePlot plot = two_curves();
  plot.series = {{"one", {{3, 3}}}};
  plot.y_low = plot.y_high = LinePlot::automatic;
  EXPECT_THAT(to_svg(plot), Not(HasSubstr("nan")));
  plot.series = {{"none", {{NAN, 1}}}};
  EXPECT_THROW(to_svg(plot), Error);
}

}  // namespace
}  // namespace nnq
