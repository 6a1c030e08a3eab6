// `nnq reproduce --performance-page`: docs/performance.md comes from the records of bench/peers.
#include <gtest/gtest.h>

#include <string>

#include "cli/command.h"

namespace {

using nnq::test::Folder;
using nnq::test::Ran;
using nnq::test::slurp;

constexpr const char* record = R"({
  "group": "gemm", "command": "bench/peers/run.sh --only gemm", "date": "2026-01-02", "version": "0.1.0",
  "machine": {"cpu": "Some CPU", "family": "25", "model": "1", "cores": 2, "features": ["avx2"], "isa": "avx2",
              "peers": {"oneDNN": "2.6.3, AVX2"}},
  "workload": "GEMM 8^3", "operations": 1024, "note": "A note.", "rounds": 3, "least_ms": 20,
  "ceilings": [{"name": "binary", "unit": "GOP/s", "value": 829.4, "isa": "avx2"}],
  "contenders": [
    {"who": "nnq", "what": "W1A1", "us": 2, "us_low": 1.5, "us_high": 2.5, "gops": 100, "kernel": "lookup", "check": "equal"},
    {"who": "nnq", "what": "W8A8", "us": 2500, "us_low": 1, "us_high": 3000, "gops": 7, "kernel": "madd", "check": "equal"},
    {"who": "nnq", "what": "fp32", "us": 30, "us_low": 1, "us_high": 3, "gops": 7, "kernel": "fma", "check": "equal"},
    {"who": "oneDNN", "what": "int8 u8s8", "us": 20, "us_low": 19, "us_high": 21, "gops": 10, "kernel": "jit", "check": "39 % differ"},
    {"who": "oneDNN", "what": "fp32", "us": 40, "us_low": 19, "us_high": 21, "gops": 10, "kernel": "jit", "check": "equal"}],
  "goals": [
    {"goal": "W1A1: at least 4x oneDNN", "for": "avx2", "measured": 10.0, "unit": "x", "met": true},
    {"goal": "W8A8: at least 1x oneDNN", "for": "avx2", "measured": 0.008, "unit": "x", "possible": 0.012, "met": false},
    {"goal": "W1A1: at least 20x oneDNN", "for": "avx512", "measured": 10.0, "unit": "x", "met": false}]
})";

class PerformancePage : public ::testing::Test {
 protected:
  Ran page() const {
    return nnq::test::nnq("reproduce --performance-page page.md", "cd '" + folder_.path().string() + "' && ");
  }
  void write(const std::string& text) const {
    std::filesystem::create_directories(folder_.path() / "results/performance/avx2/gemm");
    std::ofstream(folder_ / "results/performance/avx2/gemm/gemm_8_3.json") << text;
  }
  Folder folder_;
};

TEST_F(PerformancePage, ShowsGoalsFiguresAndWhereAPeerIsFaster) {
  write(record);
  const Ran ran = page();
  ASSERT_EQ(ran.code, 0) << ran.err;
  const std::string text = slurp(folder_ / "page.md");
  for (const char* line :
       {"| GEMM 8^3 | W1A1: at least 4x oneDNN | 10 x |  | met |",
        "| GEMM 8^3 | W8A8: at least 1x oneDNN | 0.008 x | 0.012 x | **not met** |",
        "| 10 x |  | not met on this CPU (AVX2; the goal is for AVX-512) |",
        "| nnq | W1A1 | 2.0 µs | 1.5 µs .. 2.5 µs | 100 | 10.00x | lookup | equal |",
        "| GEMM 8^3 | W8A8 | 125.00x | oneDNN int8 u8s8 | 39 % differ |", "| **0.01x** | madd | equal |",
        "Ceilings of this core in the same minute: binary 829 GOP/s.", "Some CPU (family 25, model 1), 2 cores; avx2."})
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  EXPECT_EQ(text.find("| GEMM 8^3 | fp32 | "), std::string::npos)
      << "float is compared with float, which is slower here";
}

TEST_F(PerformancePage, NothingOrBrokenRecordsAreAnError) {
  EXPECT_EQ(page().code, 2);
  write("{\"workload\": 1}");
  const Ran broken = page();
  EXPECT_EQ(broken.code, 2);
  EXPECT_NE(broken.err.find("gemm_8_3.json"), std::string::npos) << broken.err;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "page.md"));
}

TEST(PerformanceOfTheSourceTree, ThePageIsMadeFromTheRecords) {
  const Folder folder;
  const Ran ran =
      nnq::test::nnq("reproduce --performance-page '" + (folder / "page.md") + "'", "cd '" NNQ_SOURCE_DIR "' && ");
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(slurp(folder / "page.md"), slurp(NNQ_SOURCE_DIR "/docs/performance.md"))
      << "make it again: nnq reproduce --performance-page docs/performance.md";
}

}  // namespace
