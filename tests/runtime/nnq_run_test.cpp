// The program nnq-run as a user meets it: what it prints, writes, refuses, and what it is linked with.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/atomic_file.h"
#include "core/npy.h"
#include "runtime/tiny_programs.h"

namespace nnq {
namespace {

namespace fs = std::filesystem;

const std::string program = std::string(NNQ_BINARY_DIR) + "/bin/nnq-run";

struct Ran {
  int code = -1;
  std::string out, err;
};

class NnqRun : public ::testing::Test {
 protected:
  NnqRun() {
    std::string pattern = (fs::temp_directory_path() / "nnq_run_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    save_image("model.nnq", serialize_program(testing::worked_example()));
    throw_if_error(try_save_npy(testing::worked_input(), folder_ / "x.npy"));
  }
  ~NnqRun() override { fs::remove_all(folder_); }

  void save_image(const std::string& name, const std::vector<std::byte>& image) const {
    write_file_atomically(folder_ / name, image);
  }
  Ran shell(const std::string& line) const {
    const int status =
        std::system(("cd '" + folder_.string() + "' && { " + line + "; } >out 2>err </dev/null").c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128, slurp("out"), slurp("err")};
  }
  Ran run(const std::string& arguments) const { return shell("'" + program + "' " + arguments); }
  std::string slurp(const std::string& name) const {
    std::ifstream in(folder_ / name, std::ios::binary);
    std::stringstream all;
    all << in.rdbuf();
    return all.str();
  }

  fs::path folder_;
};

TEST_F(NnqRun, RunsAndWritesNpy) {
  const Ran ran = run("model.nnq --input x.npy --output results/here --threads 2 --repeat 3");
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_NE(ran.out.find("float32[1, 1]"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("3 runs"), std::string::npos) << ran.out;
  Tensor y;
  const Status status = try_load_npy(folder_ / "results/here/y.npy", y);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(y, Tensor::of<float>({1, 1}, std::vector<float>{0.1f * 2.0f + 0.25f}));
}

TEST_F(NnqRun, InputByNameAndInfo) {
  EXPECT_EQ(run("model.nnq --input x=x.npy").code, 0);
  const Ran info = run("model.nnq --info");
  EXPECT_EQ(info.code, 0) << info.err;
  EXPECT_NE(info.out.find("float32[1, 1, 2, 2]"), std::string::npos) << info.out;
  EXPECT_NE(info.out.find("labels"), std::string::npos) << info.out;
  EXPECT_EQ(run("--help").code, 0);
  EXPECT_EQ(run("--version").code, 0);
}

TEST_F(NnqRun, BadUsageAndInputEndInOneLineAndCode2) {
  std::vector<std::byte> image = serialize_program(testing::worked_example());
  save_image("cut.nnq", {image.begin(), image.begin() + 200});
  throw_if_error(try_save_npy(Tensor(DType::f32, {1, 1, 3, 3}), folder_ / "wrong.npy"));
  for (const char* arguments :
       {"", "--input x.npy", "model.nnq", "model.nnq --input", "model.nnq --input none.npy", "none.nnq --input x.npy",
        "model.nnq --input model.nnq", "x.npy --input x.npy", "cut.nnq --input x.npy", "model.nnq --input wrong.npy",
        "model.nnq --input x.npy --input x.npy", "model.nnq --input x=x.npy --input x=x.npy",
        "model.nnq --input x.npy --threads 0", "model.nnq --input x.npy --threads two",
        "model.nnq --input x.npy --repeat -1", "model.nnq --input x.npy --unknown", "model.nnq other.nnq --input x.npy",
        "model.nnq --input x.npy --output x.npy", "model.nnq --input x.npy --output ''"}) {
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.code, 2) << arguments;
    EXPECT_TRUE(ran.err.starts_with("nnq-run: ")) << arguments << ": " << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << arguments << ": " << ran.err;
    EXPECT_EQ(ran.out, "") << arguments;
  }
}

TEST_F(NnqRun, LinksNoTrainingNorInterchangeLibrary) {
  const Ran ran = shell("ldd '" + program + "'");
  ASSERT_EQ(ran.code, 0) << ran.err;
  for (const char* name : {"torch", "proto", "onnx", "fmt", "sqlite"})
    EXPECT_EQ(ran.out.find(name), std::string::npos) << name << ": " << ran.out;
}

TEST_F(NnqRun, IsAtMost2MiBStripped) {
#if !defined(__OPTIMIZE__) || NNQ_SANITIZED
  GTEST_SKIP() << "the size counts for the release build";
#endif
  const Ran ran = shell("strip -s -o stripped '" + program + "'");
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_LE(fs::file_size(folder_ / "stripped"), std::uintmax_t{2} << 20);
}

}  // namespace
}  // namespace nnq
