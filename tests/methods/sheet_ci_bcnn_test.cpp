// The worked numbers of CI-BCNN's sheet (Wang et al., CVPR 2019), items 1 to 10.
#include <gtest/gtest.h>

#include <cmath>

#include "core/random.h"
#include "methods/search/channel_graph.h"
#include "methods/search/table_miner.h"
#include "nnq/error.h"

namespace nnq::methods {
namespace {

using Values = std::vector<std::int64_t>;

TEST(CiBcnnSheet, Unit) {  // 1
  EXPECT_EQ(interaction_unit(.01, 288), 3);
  EXPECT_EQ(interaction_unit(.001, 288), 1);
  EXPECT_EQ(interaction_unit(.01, 300), 3) << "a whole number is not raised";
}

TEST(CiBcnnSheet, StairOfThree) {  // 2
  const Stair up(3, 288, 3), down(-3, 288, 3);
  for (const auto& [p, expected] : std::vector<std::pair<int, int>>{
           {-288, -3}, {-97, -3}, {-96, -3}, {-95, 0}, {0, 0}, {96, 0}, {97, 3}, {288, 3}}) {
    EXPECT_EQ(up.delta(p), expected) << p;
    EXPECT_EQ(down.delta(p), -expected) << p;
  }
}

TEST(CiBcnnSheet, StairOfFive) {  // 3
  const Stair stair(5, 288, 3);
  for (const auto& [p, expected] : std::vector<std::pair<int, int>>{
           {-288, -6}, {-173, -6}, {-172, -3}, {-58, -3}, {-57, 0}, {57, 0}, {58, 3}, {172, 3}, {173, 6}, {288, 6}})
    EXPECT_EQ(stair.delta(p), expected) << p;
  EXPECT_EQ(stair.thresholds(), (Values{-172, -57, 58, 173}));
}

TEST(CiBcnnSheet, InfluenceOfThePolicy) {  // 4
  for (const auto& [t, k] : std::vector<std::pair<double, int>>{
           {-1, -5}, {-.6, -5}, {-.5, -3}, {-.2, -3}, {.1, 3}, {.5, 3}, {.51, 5}, {1, 5}, {0, 0}})
    EXPECT_EQ(influence_of(t, 2), k) << t;
  EXPECT_EQ(scaled_influence(3, 2), .5);
  EXPECT_EQ(scaled_influence(5, 2), 1);
  EXPECT_EQ(scaled_influence(-3, 2), -.5);
}

TEST(CiBcnnSheet, OnePixel) {  // 5
  ChannelGraph graph(4, {.density = 1});
  EXPECT_EQ(interact(graph, Values{120, -2, -40, 200}, 1, 288, 3), (Values{120, -2, -40, 200}));  // 9: empty graph
  ASSERT_TRUE(graph.add({0, 1, 3}));
  EXPECT_EQ(interact(graph, Values{120, -2, -40, 200}, 1, 288, 3), (Values{120, 1, -40, 200}));
  ASSERT_TRUE(graph.add({3, 2, 5}));
  ASSERT_TRUE(graph.add({3, 1, -3}));
  EXPECT_EQ(interact(graph, Values{120, -2, -40, 200}, 1, 288, 3), (Values{120, -2, -34, 200}));
}

TEST(CiBcnnSheet, TeachersCountWithWhatTheyWere) {
  ChannelGraph graph(3, {.density = 1});
  graph.add({0, 1, 3});
  graph.add({1, 2, 3});
  // 95 + 3 would pass the threshold of 97.
  EXPECT_EQ(interact(graph, Values{200, 95, 0}, 1, 288, 3), (Values{200, 98, 0}));
}

TEST(CiBcnnSheet, Rewards) {  // 6
  EXPECT_EQ(reward_of_loss(1.25, 1.24, .003), 1);
  EXPECT_EQ(reward_of_loss(1.25, 1.249, .003), 0);
  EXPECT_EQ(reward_of_loss(1.25, 1.26, .003), -1);
  EXPECT_EQ(reward_of_magnitudes(Values{5, 7, 0, -3}, Values{2, -9, 1, 3}), -.25);
  EXPECT_EQ(reward_of_magnitudes({}, {}), 0);
}

TEST(CiBcnnSheet, Distributions) {  // 7, 8
  const std::vector<double> deletion = deletion_distribution(std::vector<double>{.5, .3, .15, .05});
  const double expected[] = {.1021, .1773, .2794, .4412};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(deletion[i], expected[i], 1e-4);
  const std::vector<double> p = softmax(std::vector<double>{std::log(.5), std::log(.3), std::log(.15), std::log(.05)});
  const std::vector<double> gradient = reinforce_gradient(p, 1, .8);
  const double slopes[] = {.4, -.56, .12, .04};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(gradient[i], slopes[i], 1e-12);
}

TEST(CiBcnnSheet, GraphsKeepTheirRules) {
  ChannelGraph graph(20, {.block = 16, .density = .1});
  EXPECT_FALSE(graph.add({3, 3, 3})) << "itself";
  EXPECT_FALSE(graph.add({15, 16, 3})) << "another block";
  EXPECT_FALSE(graph.add({19, 20, 3})) << "no such channel";
  EXPECT_FALSE(graph.add({0, 1, 0})) << "no influence";
  EXPECT_TRUE(graph.add({0, 1, 3}));
  EXPECT_FALSE(graph.add({0, 1, 5})) << "is there";
  EXPECT_TRUE(graph.add({1, 2, 3}));
  EXPECT_FALSE(graph.add({2, 0, 3})) << "closes a cycle";
  EXPECT_TRUE(graph.remove(1, 2));
  EXPECT_TRUE(graph.add({2, 0, 3}));
  EXPECT_TRUE(graph.set_influence(2, 0, -5));
  EXPECT_EQ(graph.edges().back(), (Interaction{2, 0, -5}));
  EXPECT_FALSE(graph.set_influence(5, 6, 3));
  ChannelGraph small(4, {.density = .1});  // 1.6 edges: two
  EXPECT_TRUE(small.add({0, 1, 3}));
  EXPECT_TRUE(small.add({0, 2, 3}));
  EXPECT_FALSE(small.add({0, 3, 3})) << "full";
}

TEST(CiBcnnSheet, BadInputIsRefused) {
  EXPECT_THROW(Stair(4, 288, 3), Error);
  EXPECT_THROW(Stair(1, 288, 3), Error);
  EXPECT_THROW(Stair(3, 0, 3), Error);
  EXPECT_THROW(Stair(3, 288, 0), Error);
  EXPECT_THROW(influence_of(1.5, 2), Error);
  EXPECT_THROW(influence_of(std::nan(""), 2), Error);
  EXPECT_THROW(ChannelGraph(0, {}), Error);
  EXPECT_THROW(interaction_unit(0, 288), Error);
  EXPECT_THROW(interact(ChannelGraph(4, {}), Values{1, 2}, 1, 288, 3), Error);
}

/// 10: four students follow four teachers; what is observed is noisier than what is true.
struct Planted {
  static constexpr std::int64_t channels = 16, pixels = 3000, range = 144;
  Values p;
  std::vector<double> truth;

  explicit Planted(std::uint64_t seed) : p(channels * pixels), truth(channels * pixels) {
    Random random(seed, "planted");
    const auto at = [](std::int64_t c, std::int64_t i) { return static_cast<std::size_t>(c * pixels + i); };
    const auto whole = [](double v) { return static_cast<std::int64_t>(std::lround(v)); };
    for (std::int64_t i = 0; i < pixels; ++i) {
      for (std::int64_t c = 0; c < channels; ++c) {
        p[at(c, i)] = whole(48 * random.normal());
        truth[at(c, i)] = static_cast<double>(p[at(c, i)]) + 12 * random.normal();
      }
      for (const std::int64_t s : {1, 3, 5, 7}) {
        const double sign = s < 4 ? .25 : -.25;
        truth[at(s, i)] = sign * static_cast<double>(p[at(s - 1, i)]) + 2 * random.normal();
        p[at(s, i)] = whole(truth[at(s, i)] + 8 * random.normal());
      }
    }
  }

  double score(const ChannelGraph& graph) const {
    const Values corrected = interact(graph, p, pixels, range, interaction_unit(.05, range));
    std::int64_t right = 0;
    for (std::size_t i = 0; i < truth.size(); ++i) right += (truth[i] >= 0) == (corrected[i] >= 0) ? 1 : 0;
    return static_cast<double>(right) / static_cast<double>(truth.size());
  }
};

ChannelGraph planted_graph() {
  ChannelGraph graph(16, {});
  for (const std::int64_t s : {1, 3, 5, 7}) graph.add({s - 1, s, s < 4 ? 5 : -5});
  return graph;
}

TEST(CiBcnnSheet, PlantedGraphBeatsTheEmptyAndRandomOnes) {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const Planted data(seed);
    const double base = data.score(ChannelGraph(16, {})), planted = data.score(planted_graph());
    EXPECT_NEAR(base, .895, .01);
    EXPECT_GT(planted, base + .005);
    Random random(seed, "random graphs");
    for (int trial = 0; trial < 20; ++trial) {
      ChannelGraph graph(16, {});
      while (graph.edges().size() < 4)
        graph.add({static_cast<std::int64_t>(random.below(16)), static_cast<std::int64_t>(random.below(16)),
                   random.below(2) == 0 ? 5 : -5});
      EXPECT_LT(data.score(graph), planted);
    }
  }
}

TEST(CiBcnnSheet, MinerFindsThePlantedEdges) {
  const Planted data(0);
  const auto score = [&](const ChannelGraph& graph) { return data.score(graph); };
  const ChannelGraph found = mine_by_table(ChannelGraph(16, {}), score, {.steps = 4000}, 1);
  int planted = 0;
  for (const Interaction& e : found.edges()) {
    EXPECT_TRUE(e.student == e.teacher + 1 && e.student % 2 == 1 && e.student < 8)
        << "a false edge from " << e.teacher << " to " << e.student;
    EXPECT_EQ(e.influence > 0, e.student < 4) << e.student;
    ++planted;
  }
  EXPECT_GE(planted, 2);
  EXPECT_GE(data.score(found), data.score(ChannelGraph(16, {}))) << "mining never makes its own score worse";
  EXPECT_EQ(mine_by_table(ChannelGraph(16, {}), score, {.steps = 300}, 7).edges(),
            mine_by_table(ChannelGraph(16, {}), score, {.steps = 300}, 7).edges());
}

}  // namespace
}  // namespace nnq::methods
