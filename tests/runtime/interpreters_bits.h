// The runtime beside the interpreter that defines it, for tests of whole programs.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernels/cpu.h"
#include "nnq/program.h"
#include "nnq/runtime.h"

namespace nnq::test {

/// NNQ_ISA is unset again however a test ends: the tests behind a failure do not fail with it.
struct IsaReset {
  ~IsaReset() { unsetenv("NNQ_ISA"); }
};

/// Every output of `program`, written and read again, is the interpreter's to the bit: on every instruction set that
/// this CPU has, with one and three threads, in a session's first run and its second. `kernels`: those that the second
/// step (a layer behind a quantizer) took.
inline void expect_interpreters_bits(const Program& program, const std::vector<Tensor>& inputs, const std::string& what,
                                     std::set<std::string>* kernels = nullptr) {
  std::vector<Tensor> expected;
  const Status interpreted = interpret_program(program, inputs, expected);
  ASSERT_TRUE(interpreted.ok()) << interpreted.message();
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::from_bytes(serialize_program(program), model).ok());
  const IsaReset reset;
  for (const Isa isa : every_isa) {
    if (isa > hardware_isa()) continue;
    setenv("NNQ_ISA", name_of(isa), 1);
    for (const int threads : {1, 3}) {
      std::unique_ptr<Session> session;
      ASSERT_TRUE(Session::create(model, {.threads = threads}, session).ok());
      std::vector<Tensor> outputs;
      for (int run = 0; run < 2; ++run) {
        const Status ran = session->run(inputs, outputs);
        ASSERT_TRUE(ran.ok()) << ran.message();
        const std::string kernel = session->steps().size() > 1 ? session->steps()[1].kernel : "";  // planned by now
        if (kernels != nullptr) kernels->insert(kernel);
        for (std::size_t i = 0; i < outputs.size(); ++i)
          ASSERT_EQ(outputs[i], expected[i]) << what << ", " << name_of(isa) << ", " << kernel << ", output " << i;
      }
    }
  }
}

}  // namespace nnq::test
