// A cache of packed weights as sessions meet it: found by later models and processes, shared, and no trouble when it is
// damaged, foreign or nowhere to be written.
#include "runtime/weights_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "core/atomic_file.h"
#include "core/checksum.h"
#include "runtime/packed_kinds.h"
#include "runtime/weights_folder.h"

namespace nnq::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class WeightsCacheTest : public ::testing::Test {
 protected:
  WeightsCacheTest() : inputs_(kinds_.inputs()), image_(serialize_program(kinds_.program())) {
    write_file_atomically(model_file(), image_);
    EXPECT_TRUE(interpret_program(kinds_.program(), inputs_, expected_).ok());
  }
  std::string model_file() const { return (folder_.path() / "model.nnq").string(); }
  fs::path cache_file() const {
    const std::vector<fs::path> files = folder_.files();
    EXPECT_EQ(files.size(), 1U);
    return files.empty() ? fs::path() : files[0];
  }
  std::vector<std::byte> cache_bytes() const {
    std::vector<std::byte> bytes;
    EXPECT_TRUE(try_read_file(cache_file(), 1 << 26, bytes).ok());
    return bytes;
  }
  /// A session of a model of its own: its results are right, whatever the cache; its notes.
  std::vector<std::string> notes_of(const Session::Options& options, const Model::Options& how = {}) const {
    std::shared_ptr<const Model> model;
    std::unique_ptr<Session> session;
    return run(options, how, model, session);
  }
  std::vector<std::string> run(const Session::Options& options, const Model::Options& how,
                               std::shared_ptr<const Model>& model, std::unique_ptr<Session>& session) const {
    const Status loaded = Model::load(model_file(), how, model);
    EXPECT_TRUE(loaded.ok()) << loaded.message();
    EXPECT_TRUE(Session::create(model, options, session).ok());
    std::vector<Tensor> outputs;
    const Status ran = session->run(inputs_, outputs);
    EXPECT_TRUE(ran.ok()) << ran.message();
    expect_right(outputs);
    return session->notes();
  }
  void expect_right(const std::vector<Tensor>& outputs) const {
    ASSERT_EQ(outputs.size(), expected_.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) EXPECT_TRUE(outputs[i] == expected_[i]) << "output " << i;
  }
  Session::Options cached() const { return {.threads = 1, .weights_cache = folder_.cache()}; }

  WeightsFolder folder_;
  PackedKinds kinds_;
  std::vector<Tensor> inputs_, expected_;
  std::vector<std::byte> image_;
};

TEST_F(WeightsCacheTest, IsWrittenOnceAndOnlyWhenAskedFor) {
  EXPECT_THAT(notes_of({}), IsEmpty());
  EXPECT_FALSE(fs::exists(folder_.cache()));
  EXPECT_THAT(notes_of(cached()), IsEmpty());
  struct stat before {
  }, after{};
  ASSERT_EQ(stat(cache_file().c_str(), &before), 0);
  EXPECT_THAT(notes_of(cached()), IsEmpty());
  EXPECT_THAT(notes_of({.threads = 3, .weights_cache = folder_.cache()}), IsEmpty());
  EXPECT_THAT(notes_of(cached(), {.private_copy = true}), IsEmpty());
  ASSERT_EQ(stat(cache_file().c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

/// A second plan of the same model packs what the first did not need, and both sets stay.
TEST_F(WeightsCacheTest, GrowsByWhatAnotherInstructionSetNeeds) {
  setenv("NNQ_ISA", "portable", 1);
  EXPECT_THAT(notes_of(cached()), IsEmpty());
  unsetenv("NNQ_ISA");
  const auto portable = fs::file_size(cache_file());
  EXPECT_THAT(notes_of(cached()), IsEmpty());
  const auto both = fs::file_size(cache_file());
  EXPECT_GT(both, portable);
  setenv("NNQ_ISA", "portable", 1);
  EXPECT_THAT(notes_of(cached()), IsEmpty());
  unsetenv("NNQ_ISA");
  EXPECT_EQ(fs::file_size(cache_file()), both);
}

TEST_F(WeightsCacheTest, TakesFromSessionsWithoutOne) {
  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> plain, other;
  run({}, {}, model, plain);
  ASSERT_TRUE(Session::create(model, cached(), other).ok());
  std::vector<Tensor> outputs;
  ASSERT_TRUE(other->run(inputs_, outputs).ok());
  expect_right(outputs);
  const auto size = fs::file_size(cache_file());
  EXPECT_THAT(notes_of(cached()), IsEmpty());
  EXPECT_EQ(fs::file_size(cache_file()), size) << "all of them had been written";
}

struct Tried {
  AlignedBytes bytes;
  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.bytes);
  }
};

/// Autotuning packs for every candidate and keeps one.
TEST_F(WeightsCacheTest, KeepsNothingThatIsGoneByThen) {
  const CachedModel model{.content = checksum64(std::span(image_).subspan(64)), .image = image_};
  WeightsCache cache(folder_.cache(), model);
  const auto taken = std::make_shared<const Tried>();
  cache.keep("tried", PackedKind::of<Tried>(), std::make_shared<const Tried>());
  EXPECT_FALSE(cache.save());
  EXPECT_FALSE(fs::exists(folder_.cache()));
  cache.keep("tried", PackedKind::of<Tried>(), std::make_shared<const Tried>());
  cache.keep("taken", PackedKind::of<Tried>(), taken);
  EXPECT_TRUE(cache.save());
  WeightsCache later(folder_.cache(), model);
  EXPECT_NE(later.find("taken", PackedKind::of<Tried>()), nullptr);
  EXPECT_EQ(later.find("tried", PackedKind::of<Tried>()), nullptr);
  EXPECT_THAT(later.notes, IsEmpty());
}

TEST_F(WeightsCacheTest, GoesWithAutotuning) {
  setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1);
  for (int i = 0; i < 2; ++i)
    EXPECT_THAT(notes_of({.threads = 1, .autotune = true, .weights_cache = folder_.cache()}), IsEmpty());
  unsetenv("XDG_CACHE_HOME");
}

TEST_F(WeightsCacheTest, DamageIsNotedAndMended) {
  EXPECT_THAT(notes_of(cached()), IsEmpty());
  const std::vector<std::byte> good = cache_bytes();
  const auto spoilt = [&](const std::vector<std::byte>& bytes, const std::string& note) {
    SCOPED_TRACE(note);
    write_file_atomically(cache_file(), bytes);
    EXPECT_THAT(notes_of(cached()), ElementsAre(HasSubstr(note)));
    EXPECT_EQ(cache_bytes(), good) << "written anew";
    EXPECT_THAT(notes_of(cached()), IsEmpty());
  };
  const auto changed = [&](std::size_t at) {
    std::vector<std::byte> bytes = good;
    bytes[at] ^= std::byte{4};
    return bytes;
  };
  spoilt({good.begin(), good.end() - 1}, "cut short");
  spoilt({good.begin(), good.begin() + 10}, "cut short");
  spoilt({}, "is empty");
  spoilt(changed(0), "holds no weights");
  spoilt(changed(16), "directory is damaged");  // the model's content
  spoilt(changed(50), "another version");
  spoilt(changed(80), "directory is damaged");
  spoilt(changed(good.size() - 1), "packed anew");
  std::vector<std::byte> longer = good;
  longer.emplace_back();
  spoilt(longer, "longer");
}

TEST_F(WeightsCacheTest, OfAnotherModelUnderItsNameIsIgnored) {
  EXPECT_THAT(notes_of(cached()), IsEmpty());
  const std::vector<std::byte> good = cache_bytes();
  WeightsEntries entries;
  ASSERT_TRUE(write_weights(cache_file().string(), 1, entries).ok());
  EXPECT_THAT(notes_of(cached()), ElementsAre(HasSubstr("another model")));
  EXPECT_EQ(cache_bytes(), good);
}

TEST_F(WeightsCacheTest, IsPackedInMemoryWhereNothingCanBeWritten) {
  std::ofstream(folder_.path() / "file") << "x";
  EXPECT_THAT(notes_of({.threads = 1, .weights_cache = (folder_.path() / "file/cache").string()}),
              ElementsAre(HasSubstr("could not be written")));
  EXPECT_THAT(notes_of({.threads = 1, .weights_cache = "/proc/nnq"}), ElementsAre(HasSubstr("could not be written")));
  EXPECT_THAT(notes_of(cached()), IsEmpty());
  const fs::path file = cache_file();
  fs::remove(file);
  fs::create_directory(file);  // a folder in the file's place
  EXPECT_THAT(notes_of(cached()), ElementsAre(HasSubstr("is not a file"), HasSubstr("could not be written")));
}

TEST_F(WeightsCacheTest, OfAnotherUserIsNotBelieved) {
  if (geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  EXPECT_THAT(notes_of(cached()), IsEmpty());
  ASSERT_EQ(chown(cache_file().c_str(), 12345, 12345), 0);
  EXPECT_THAT(notes_of(cached()), ElementsAre(HasSubstr("another user")));
  EXPECT_THAT(notes_of(cached()), IsEmpty());
}

TEST_F(WeightsCacheTest, ModelsMadeInMemoryHaveNone) {
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::from_program(kinds_.program(), model).ok());
  std::unique_ptr<Session> session;
  ASSERT_TRUE(Session::create(model, cached(), session).ok());
  std::vector<Tensor> outputs;
  ASSERT_TRUE(session->run(inputs_, outputs).ok());
  EXPECT_THAT(session->notes(), ElementsAre(HasSubstr("made in memory")));
  EXPECT_FALSE(fs::exists(folder_.cache()));
}

/// The last plane of the last layer's weights, changed behind the header's back.
TEST_F(WeightsCacheTest, IsNotFilledFromAModelThatIsNotWhatItSays) {
  const std::vector<std::byte> good = image_;
  image_.back() ^= std::byte{0x40};
  write_file_atomically(model_file(), image_);
  std::shared_ptr<const Model> model;
  ASSERT_TRUE(Model::load(model_file(), {}, model).ok());
  EXPECT_TRUE(interpret_program(model->program(), inputs_, expected_).ok());
  EXPECT_THAT(notes_of(cached()), ElementsAre(HasSubstr("not those its header speaks of")));
  EXPECT_FALSE(fs::exists(folder_.cache()));
}

/// Files of earlier versions have no checksum in their header: it is counted, and the file's name is the same.
TEST_F(WeightsCacheTest, ServesModelsWithoutAChecksum) {
  EXPECT_THAT(notes_of(cached()), IsEmpty());
  const fs::path file = cache_file();
  std::fill_n(image_.begin() + 32, 8, std::byte{});
  write_file_atomically(model_file(), image_);
  EXPECT_THAT(notes_of(cached()), IsEmpty());
  EXPECT_EQ(cache_file(), file);
}

TEST_F(WeightsCacheTest, ModelsMayRaceForIt) {
  std::vector<std::vector<std::string>> notes(6);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < notes.size(); ++t)
    threads.emplace_back(
        [&, t] { notes[t] = notes_of({.threads = 1 + static_cast<int>(t % 2), .weights_cache = folder_.cache()}); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& n : notes) EXPECT_THAT(n, IsEmpty());
  EXPECT_THAT(cache_file().filename().string(), StartsWith("weights-")) << "and nothing left beside it";
  EXPECT_THAT(notes_of(cached()), IsEmpty());
}

}  // namespace
}  // namespace nnq::test
