// What a cache of packed weights is for: processes that run a model have its weights once, and may start at any time.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <sstream>

#include "core/atomic_file.h"
#include "core/npy.h"
#include "nnq/runtime.h"
#include "runtime/packed_kinds.h"
#include "runtime/weights_folder.h"

namespace nnq::test {
namespace {

namespace fs = std::filesystem;

/// Kilobytes of a line of /proc/self/NAME: behind the line that ends with `of`, where one is wanted.
std::int64_t kilobytes(const char* name, const std::string& line, const std::string& of = "") {
  std::ifstream in(std::string("/proc/self/") + name);
  bool inside = of.empty();
  for (std::string text; std::getline(in, text);) {
    if (!of.empty() && text.find('-') < 20) inside = text.ends_with(of);
    if (inside && text.starts_with(line + ":")) return std::stoll(text.substr(line.size() + 1));
  }
  return -1;
}

/// A process of its own that calls f and then waits until it is let go.
class Other {
 public:
  explicit Other(const std::function<std::int64_t()>& f) {
    EXPECT_EQ(pipe(answer_), 0);
    EXPECT_EQ(pipe(end_), 0);
    process_ = fork();
    if (process_ != 0) return;
    const std::int64_t number = f();
    char none = 0;
    const bool told = write(answer_[1], &number, sizeof(number)) == sizeof(number);
    _exit(told && read(end_[0], &none, 1) == 1 ? 0 : 1);
  }
  ~Other() {
    EXPECT_EQ(write(end_[1], "x", 1), 1);
    int status = 1;
    EXPECT_EQ(waitpid(process_, &status, 0), process_);
    EXPECT_EQ(status, 0);
    for (const int fd : {answer_[0], answer_[1], end_[0], end_[1]}) close(fd);
  }
  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;
  std::int64_t answer() const {
    std::int64_t number = -1;
    EXPECT_EQ(read(answer_[0], &number, sizeof(number)), static_cast<ssize_t>(sizeof(number)));
    return number;
  }

 private:
  int answer_[2] = {}, end_[2] = {};
  pid_t process_;
};

class WeightsSharing : public ::testing::Test {
 protected:
  WeightsSharing() : inputs_(kinds_.inputs()) {
    write_file_atomically((folder_.path() / "model.nnq").string(), serialize_program(kinds_.program()));
  }
  /// Loads, plans, runs once; false: something failed.
  bool run(const std::string& cache, std::shared_ptr<const Model>& model, std::unique_ptr<Session>& session,
           std::vector<Tensor>& outputs) const {
    return Model::load((folder_.path() / "model.nnq").string(), {}, model).ok() &&
           Session::create(model, {.threads = 1, .weights_cache = cache}, session).ok() &&
           session->run(inputs_, outputs).ok() && session->notes().empty();
  }
  /// Kilobytes of private memory that a new process has after it ran the model.
  std::int64_t private_memory(const std::string& cache) const {
    const Other other([&] {
      std::shared_ptr<const Model> model;
      std::unique_ptr<Session> session;
      std::vector<Tensor> outputs;
      malloc_trim(0);  // what earlier tests have left free would be taken again, and not be seen
      const std::int64_t before = kilobytes("status", "RssAnon");
      return run(cache, model, session, outputs) ? kilobytes("status", "RssAnon") - before : -1;
    });
    return other.answer();
  }

  WeightsFolder folder_{false};
  PackedKinds kinds_{16};
  std::vector<Tensor> inputs_;
};

TEST_F(WeightsSharing, PagesAreTheFilesAndOfAllProcesses) {
  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> session;
  std::vector<Tensor> outputs;
  ASSERT_TRUE(run(folder_.cache(), model, session, outputs)) << "also the first process maps what it wrote";
  const std::string file = folder_.files().at(0).string();
  const auto size = static_cast<std::int64_t>(fs::file_size(file)) / 1024;
  ASSERT_GT(size, 2048);
  const Other other([&] {
    std::vector<Tensor> others;
    session.reset(), model.reset();
    return run(folder_.cache(), model, session, others) && others[0] == outputs[0] ? 1 : 0;
  });
  ASSERT_EQ(other.answer(), 1);
  EXPECT_GE(kilobytes("smaps", "Rss", file), size * 9 / 10);
  const std::int64_t shared =
      kilobytes("smaps", "Shared_Clean", file) + kilobytes("smaps", "Shared_Dirty", file);  // in memory: dirty
  EXPECT_GE(shared, size * 9 / 10);
  EXPECT_EQ(kilobytes("smaps", "Private_Dirty", file), 0);
  session.reset();
  EXPECT_EQ(kilobytes("smaps", "Rss", file), -1) << "unmapped with the last plan";
}

TEST_F(WeightsSharing, NoPrivateCopyIsLeft) {
  if (NNQ_SANITIZED) GTEST_SKIP() << "sanitizers have memory of their own";
  const std::int64_t without = private_memory(""), first = private_memory(folder_.cache()),
                     later = private_memory(folder_.cache());
  const auto weights = static_cast<std::int64_t>(fs::file_size(folder_.files().at(0))) / 1024;
  ASSERT_GT(without, 0);
  EXPECT_GE(without - later, weights * 3 / 4) << without << " and " << later << " of " << weights;
  EXPECT_GE(without - first, weights / 2) << "the process that wrote them, " << first;
}

std::string nnq_run() { return std::string(NNQ_BINARY_DIR) + "/bin/nnq-run"; }

/// A model of one input, for the program: a fully connected layer of 512 x 1024 8-bit weights.
class WeightsProcesses : public ::testing::Test {
 protected:
  WeightsProcesses() {
    Program p;
    p.add_value({"x", ValueKind::tensor, ValueType::of(DType::f32, {1, 512}), {}});
    p.add_value({"c", ValueKind::codes, ValueType::of(DType::f32, {1, 512}), {.min = 0, .max = 255, .bits = 8}});
    p.add_value({"y", ValueKind::tensor, ValueType::of(DType::f32, {1, 1024}), {}});
    p.inputs = {0}, p.outputs = {2};
    Step quantize, dense;
    quantize.kind = StepKind::quantize, quantize.inputs = {0}, quantize.outputs = {1};
    dense.kind = StepKind::dense, dense.inputs = {1}, dense.outputs = {2};
    dense.in_channels = 512, dense.out_channels = 1024;
    std::vector<std::uint8_t> planes(512 * 1024);
    Random random(5);
    for (std::uint8_t& byte : planes) byte = static_cast<std::uint8_t>(random.next());
    dense.weights = testing::packed(8, -128, {1, 2, 4, 8, 16, 32, 64, 128}, planes, 512 * 1024);
    dense.epilogue.kind = Epilogue::Kind::affine;
    dense.epilogue.a.assign(1024, 1.0F), dense.epilogue.b.assign(1024, 0.0F);
    p.steps = {quantize, dense};
    write_file_atomically((folder_.path() / "m.nnq").string(), serialize_program(p));
    Tensor x(DType::f32, {1, 512});
    for (float& v : x.mutable_values<float>()) v = static_cast<float>(random.below(256));
    throw_if_error(try_save_npy(x, folder_.path() / "x.npy"));
    EXPECT_EQ(shell(nnq_run() + " m.nnq --input x.npy --output expected"), 0);
  }
  int shell(const std::string& line) const {
    return std::system(("cd '" + folder_.path().string() + "' && { " + line + "; } >>out 2>>err </dev/null").c_str());
  }
  std::string run(const std::string& output) const {
    return nnq_run() + " m.nnq --input x.npy --weights-cache cache --output " + output;
  }
  std::string errors() const {
    std::ifstream in(folder_.path() / "err");
    std::stringstream all;
    all << in.rdbuf();
    return all.str();
  }

  WeightsFolder folder_{false};
};

TEST_F(WeightsProcesses, MayRace) {
  std::string line;
  for (int i = 0; i < 8; ++i) line += run("out" + std::to_string(i)) + " & ";
  ASSERT_EQ(shell(line + "wait"), 0);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(shell("cmp expected/y.npy out" + std::to_string(i) + "/y.npy"), 0) << i;
  EXPECT_EQ(errors(), "");
  EXPECT_EQ(folder_.files().size(), 1U);
}

/// Whatever a process that was killed leaves behind is no file of weights, or a whole one.
TEST_F(WeightsProcesses, MayBeKilledAtAnyTime) {
  for (int i = 1; i <= 25; ++i)
    shell("rm -f cache/weights-*; " + run("killed") + " & sleep 0.0" + std::string(i < 10 ? "0" : "") +
          std::to_string(i) + "; kill -KILL $!; wait");
  fs::remove(folder_.path() / "err");   // the shell tells of the dead
  ASSERT_EQ(shell(run("between")), 0);  // on what the last one left
  ASSERT_EQ(shell("rm -f cache/weights-*; " + run("after")), 0);
  EXPECT_EQ(shell("cmp expected/y.npy between/y.npy"), 0);
  EXPECT_EQ(shell("cmp expected/y.npy after/y.npy"), 0);
  EXPECT_EQ(errors(), "");
  EXPECT_EQ(folder_.files().size(), 1U) << "and what they were writing is gone";
}

TEST_F(WeightsProcesses, UseTheUsualFolderOrSayThatThereIsNone) {
  EXPECT_EQ(shell("XDG_CACHE_HOME=$PWD/xdg " + nnq_run() + " m.nnq --input x.npy --weights-cache --output o"), 0);
  EXPECT_TRUE(fs::is_directory(folder_.path() / "xdg/nnq"));
  EXPECT_NE(shell("env -u XDG_CACHE_HOME -u HOME " + nnq_run() + " m.nnq --input x.npy --weights-cache"), 0);
  EXPECT_NE(errors().find("name a folder"), std::string::npos);
}

}  // namespace
}  // namespace nnq::test
