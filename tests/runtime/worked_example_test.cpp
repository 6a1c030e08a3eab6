// The numbers of the worked example in docs/program.md, from the interpreter and from a session.
#include <gtest/gtest.h>

#include <map>

#include "nnq/runtime.h"
#include "runtime/tiny_programs.h"

namespace nnq {
namespace {

std::vector<std::int64_t> integers(const Tensor& t) { return t.to_int64(); }

TEST(WorkedExample, InterpreterGivesThePageNumbers) {
  const Program program = testing::worked_example();
  const Status checked = check_program(program);
  ASSERT_TRUE(checked.ok()) << checked.message();
  std::map<std::int32_t, Tensor> seen;
  std::vector<Tensor> outputs;
  const Status status = interpret_program(program, std::vector{testing::worked_input()}, outputs,
                                          [&](std::int32_t value, const Tensor& t) { seen[value] = t; });
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(integers(seen[1]), (std::vector<std::int64_t>{0, 2, 2, 3}));
  EXPECT_EQ(integers(seen[2]), (std::vector<std::int64_t>{0, 1, 1, 2, 0, 1, 1, 1}));  // seen in NCHW
  EXPECT_EQ(outputs[0], Tensor::of<float>({1, 1}, std::vector<float>{0.1f * 2.0f + 0.25f}));
}

TEST(WorkedExample, SessionAndFileGiveTheSame) {
  const std::vector<std::byte> image = serialize_program(testing::worked_example());
  std::shared_ptr<const Model> model;
  const Status loaded = Model::from_bytes(image, model);
  ASSERT_TRUE(loaded.ok()) << loaded.message();
  std::unique_ptr<Session> session;
  const Status made = Session::create(model, {}, session);
  ASSERT_TRUE(made.ok()) << made.message();
  std::vector<Tensor> outputs;
  const Status ran = session->run(std::vector{testing::worked_input()}, outputs);
  ASSERT_TRUE(ran.ok()) << ran.message();
  EXPECT_EQ(outputs[0], Tensor::of<float>({1, 1}, std::vector<float>{0.1f * 2.0f + 0.25f}));
}

TEST(WorkedExample, WeightsAreThePageWeights) {
  const Program p = testing::worked_example();
  EXPECT_EQ(p.steps[1].weights.unpack(), (std::vector<std::int8_t>{1, -1, 1, 1, -1, -1, 1, -1}));
  EXPECT_TRUE(p.steps[1].weights.binary());
  EXPECT_EQ(p.steps[2].weights.unpack(), (std::vector<std::int8_t>{1, -2, 0, 1, -1, 1, 1, -1}));
}

}  // namespace
}  // namespace nnq
