#include "train/schedule.h"

#include <gtest/gtest.h>

#include <vector>

#include "nnq/error.h"

namespace nnq::train {
namespace {

ScheduleOptions schedule_of(const char* kind) {
  ScheduleOptions options;
  options.kind = kind;
  return options;
}

double at(const ScheduleOptions& options, double epoch, std::int64_t epochs = 10,
          const std::vector<double>& scores = {}) {
  return learning_rate_factor(options, epochs, epoch, scores);
}

TEST(Schedule, ConstantIsOne) {
  EXPECT_EQ(at(schedule_of("constant"), 0), 1);
  EXPECT_EQ(at(schedule_of("constant"), 9.9), 1);
}

TEST(Schedule, StepFallsEveryFewEpochs) {
  ScheduleOptions step = schedule_of("step");
  step.every = 3;
  step.gamma = 0.5;
  EXPECT_EQ(at(step, 0), 1);
  EXPECT_EQ(at(step, 2.99), 1);
  EXPECT_EQ(at(step, 3), 0.5);
  EXPECT_EQ(at(step, 6.5), 0.25);
}

TEST(Schedule, MultistepFallsAtItsMilestones) {
  ScheduleOptions steps = schedule_of("multistep");
  steps.milestones = {2, 7};
  steps.gamma = 0.5;
  EXPECT_EQ(at(steps, 1.99), 1);
  EXPECT_EQ(at(steps, 2), 0.5);
  EXPECT_EQ(at(steps, 6.9), 0.5);
  EXPECT_EQ(at(steps, 7.1), 0.25);
}

TEST(Schedule, CosineFallsFromOneToItsLastFactor) {
  ScheduleOptions cosine = schedule_of("cosine");
  cosine.final_factor = 0.2;
  EXPECT_DOUBLE_EQ(at(cosine, 0), 1);
  EXPECT_DOUBLE_EQ(at(cosine, 5), 0.6);                         // half-way: mean of 1 and 0.2
  EXPECT_NEAR(at(cosine, 2.5), 0.2 + 0.8 * 0.853553391, 1e-8);  // (1 + cos 45 deg) / 2
  EXPECT_DOUBLE_EQ(at(cosine, 10), 0.2);
}

TEST(Schedule, ExponentialFallsByTheSameFactorEachEpoch) {
  ScheduleOptions exponential = schedule_of("exponential");
  exponential.final_factor = 1.0 / 1024;
  EXPECT_DOUBLE_EQ(at(exponential, 0), 1);
  EXPECT_DOUBLE_EQ(at(exponential, 1), 0.5);
  EXPECT_DOUBLE_EQ(at(exponential, 10), 1.0 / 1024);
}

TEST(Schedule, WarmUpRisesLinearlyAndTheRestBeginsBehindIt) {
  ScheduleOptions cosine = schedule_of("cosine");
  cosine.warmup_epochs = 2;
  EXPECT_DOUBLE_EQ(at(cosine, 0), 0);
  EXPECT_DOUBLE_EQ(at(cosine, 0.5), 0.25);
  EXPECT_DOUBLE_EQ(at(cosine, 2), 1);
  EXPECT_DOUBLE_EQ(at(cosine, 6), 0.5);
  EXPECT_NEAR(at(cosine, 10), 0, 1e-15);
}

TEST(Schedule, PlateauFallsAfterPatienceEpochsWithoutANewBest) {
  ScheduleOptions plateau = schedule_of("plateau");
  plateau.gamma = 0.5;
  plateau.patience = 2;
  EXPECT_EQ(at(plateau, 3, 10, {50, 60, 60}), 1);           // an equal score is no improvement: one epoch
  EXPECT_EQ(at(plateau, 4, 10, {50, 60, 60, 55}), 0.5);     // two
  EXPECT_EQ(at(plateau, 5, 10, {50, 60, 60, 55, 1}), 0.5);  // the count began anew
  EXPECT_EQ(at(plateau, 6, 10, {50, 60, 60, 55, 1, 2}), 0.25);
  EXPECT_EQ(at(plateau, 6, 10, {50, 60, 60, 61, 1, 62}), 1);
}

TEST(Schedule, CountsEpochsSinceTheBest) {
  EXPECT_EQ(epochs_without_improvement({}), 0);
  EXPECT_EQ(epochs_without_improvement(std::vector<double>{1, 2, 3}), 0);
  EXPECT_EQ(epochs_without_improvement(std::vector<double>{1, 3, 3, 2}), 2);
}

TEST(Schedule, RefusesWhatMakesNoSense) {
  EXPECT_NO_THROW(check_schedule(schedule_of("cosine")));
  try {
    check_schedule(schedule_of("cosin"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("cosine"), std::string::npos) << error.what();
  }
  ScheduleOptions bad = schedule_of("step");
  bad.every = 0;
  EXPECT_THROW(check_schedule(bad), Error);
  bad = schedule_of("exponential");  // final_factor 0
  EXPECT_THROW(check_schedule(bad), Error);
  bad = schedule_of("constant");
  bad.warmup_epochs = -1;
  EXPECT_THROW(check_schedule(bad), Error);
}

}  // namespace
}  // namespace nnq::train
