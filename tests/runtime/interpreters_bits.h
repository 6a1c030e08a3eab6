// The runtime beside the interpreter that defines it, for tests of whole programs.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernels/cpu.h"
#include "nnq/program.h"
#include "nnq/runtime.h"
#include "runtime/weights_folder.h"

namespace nnq::test {

/// NNQ_ISA is unset again however a test ends: the tests behind a failure do not fail with it.
struct IsaReset {
  ~IsaReset() { unsetenv("NNQ_ISA"); }
};

/// The outputs are as expected, too, when the weights come from a cache on disk: the first session packs and writes,
/// the second, of a model of its own, finds all of them there (or it would write, or note damage).
inline void expect_cached_bits(const std::vector<std::byte>& image, const std::vector<Tensor>& inputs,
                               const std::vector<Tensor>& expected, const std::string& what) {
  const WeightsFolder folder;
  ino_t written = 0;  // the file is replaced whenever it is written
  for (const bool found : {false, true}) {
    std::shared_ptr<const Model> model;
    ASSERT_TRUE(Model::from_bytes(image, model).ok());
    std::unique_ptr<Session> session;
    ASSERT_TRUE(Session::create(model, {.threads = 1, .weights_cache = folder.cache()}, session).ok());
    std::vector<Tensor> outputs;
    const Status ran = session->run(inputs, outputs);
    ASSERT_TRUE(ran.ok()) << ran.message();
    for (std::size_t i = 0; i < outputs.size(); ++i)
      ASSERT_EQ(outputs[i], expected[i]) << what << ", weights " << (found ? "found" : "written") << ", output " << i;
    for (const std::string& note : session->notes()) FAIL() << what << ": " << note;
    const std::vector<std::filesystem::path> files = folder.files();
    ASSERT_EQ(files.size(), model->packed_bytes() > 0 ? 1U : 0U) << what;
    if (files.empty()) continue;
    struct stat file {};
    ASSERT_EQ(stat(files[0].c_str(), &file), 0);
    ASSERT_EQ(found ? file.st_ino : written, written) << what << ": packed again";
    written = file.st_ino;
  }
}

/// The ceiling that an AVX2 kernel's name speaks of (kernels/ceilings.h); "": the name does not tell.
inline std::string ceiling_of(const std::string& kernel) {
  const auto has = [&](const char* word) { return kernel.find(word) != std::string::npos; };
  if (!has("_avx2")) return "";
  if (has("lookup")) return "lookup";
  // Behind the w of a matrix times a vector stand the bits of its weights: up to 4 are multiplied as bytes.
  if (const std::size_t at = kernel.find("_matvec_maddubs"); at != std::string::npos)
    return kernel[at - 1] <= '4' ? "narrow" : "int8";
  if (has("maddubs") || has("winograd_narrow")) return "narrow";
  if (has("madd") || has("winograd")) return "int8";
  return has("planes") ? "binary" : "";
}

/// Steps are held to the ceiling of what their kernels do: what nnq benchmark and docs/performance.md call possible.
inline void expect_ceilings(const Session& session) {
  for (const StepInfo& step : session.steps()) {
    const std::string ceiling = ceiling_of(step.kernel);
    if (step.operations == 0 || ceiling.empty()) continue;
    // The input's product is named; a state of more planes may be looked up, and two ceilings are none.
    if (step.limit == "memory" && (step.kernel.starts_with("lstm_planes") || step.kernel.starts_with("gru_planes")))
      continue;
    EXPECT_EQ(step.limit, ceiling) << step.kernel;
  }
}

/// Every output of `program`, written and read again, is the interpreter's to the bit: on every instruction set that
/// this CPU has, with one and three threads, in a session's first run and its second, with weights from a cache.
/// `kernels`: those that the second step (a layer behind a quantizer) took.
inline void expect_interpreters_bits(const Program& program, const std::vector<Tensor>& inputs, const std::string& what,
                                     std::set<std::string>* kernels = nullptr) {
  std::vector<Tensor> expected;
  const Status interpreted = interpret_program(program, inputs, expected);
  ASSERT_TRUE(interpreted.ok()) << interpreted.message();
  std::shared_ptr<const Model> model;
  const std::vector<std::byte> image = serialize_program(program);
  ASSERT_TRUE(Model::from_bytes(image, model).ok());
  const IsaReset reset;
  for (const Isa isa : every_isa) {
    if (isa > hardware_isa()) continue;
    setenv("NNQ_ISA", name_of(isa), 1);
    expect_cached_bits(image, inputs, expected, what + ", " + name_of(isa));
    if (::testing::Test::HasFatalFailure()) return;
    for (const int threads : {1, 3}) {
      std::unique_ptr<Session> session;
      ASSERT_TRUE(Session::create(model, {.threads = threads}, session).ok());
      std::vector<Tensor> outputs;
      for (int run = 0; run < 2; ++run) {
        const Status ran = session->run(inputs, outputs);
        ASSERT_TRUE(ran.ok()) << ran.message();
        const std::string kernel = session->steps().size() > 1 ? session->steps()[1].kernel : "";  // planned by now
        if (kernels != nullptr) kernels->insert(kernel);
        if (run == 0) expect_ceilings(*session);
        for (std::size_t i = 0; i < outputs.size(); ++i)
          ASSERT_EQ(outputs[i], expected[i]) << what << ", " << name_of(isa) << ", " << kernel << ", output " << i;
      }
    }
  }
}

}  // namespace nnq::test
