#include "core/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

namespace nnq {
namespace {

namespace fs = std::filesystem;

/// A directory of the test's own that ends with it.
class AtomicFile : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/nnq_atomic_XXXXXX";
    folder = mkdtemp(name);
  }
  void TearDown() override { fs::remove_all(folder); }

  std::string content(const fs::path& file) const {
    std::vector<std::byte> bytes;
    throw_if_error(try_read_file(file, 1 << 20, bytes));
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(folder)) all.push_back(entry.path().filename().string());
    return all;
  }

  fs::path folder;
  static constexpr std::span<const std::byte> nothing{};
};

TEST_F(AtomicFile, WritesReplacesAndLeavesNothingElse) {
  const fs::path file = folder / "model.nnq";
  write_file_atomically(file, std::string_view("first, longer than the second"));
  EXPECT_EQ(content(file), "first, longer than the second");
  write_file_atomically(file, std::string_view("second"));
  EXPECT_EQ(content(file), "second");
  write_file_atomically(file, std::string_view());
  EXPECT_EQ(content(file), "");
  EXPECT_EQ(names(), std::vector<std::string>{"model.nnq"});
}

TEST_F(AtomicFile, ALinkStaysALink) {
  fs::create_symlink("target", folder / "link");
  fs::create_symlink("link", folder / "link to it");
  write_file_atomically(folder / "link to it", std::string_view("new"));
  EXPECT_TRUE(fs::is_symlink(folder / "link to it"));
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(content(folder / "target"), "new");
  fs::create_symlink("round", folder / "round");
  EXPECT_FALSE(try_write_file_atomically(folder / "round", nothing).ok());
}

TEST_F(AtomicFile, WhatIsNoRegularFileIsNotReplaced) {
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_directory(folder / "directory");
  fs::create_symlink("/dev/null", folder / "device");
  for (const char* name : {"pipe", "directory", "device"}) {
    const Status status = try_write_file_atomically(folder / name, nothing);
    EXPECT_TRUE(status.message().starts_with((folder / name).string() + ": is ")) << status.message();
    EXPECT_FALSE(check_output(folder / name, {}, "").ok()) << name;
  }
  EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
  EXPECT_TRUE(fs::is_symlink(folder / "device"));
}

TEST_F(AtomicFile, OutputsAreCheckedBeforeTheWork) {
  const auto why = [&](const fs::path& file, const std::vector<fs::path>& inputs, std::string_view extension) {
    return check_output(file, inputs, extension).message();
  };
  const fs::path model = folder / "model.onnx";
  write_file_atomically(model, std::string_view("weights"));
  fs::create_symlink("model.onnx", folder / "same");
  fs::create_hard_link(model, folder / "also");
  for (const char* name : {"model.onnx", "same", "also", "../"}) {
    const fs::path file = std::string(name) == "../" ? folder / ".." / folder.filename() / "model.onnx" : folder / name;
    EXPECT_NE(why(file, {model}, "").find("would be overwritten"), std::string::npos) << name;
  }
  EXPECT_EQ(why(folder / "new.nnq", {model}, ".nnq"), "");
  EXPECT_EQ(why(folder / "no/such/folder/yet.nnq", {model}, ".nnq"), "");
  EXPECT_EQ(why(folder / "no extension", {model}, ".nnq"), "");
  EXPECT_NE(why(folder / "new.onnx", {model}, ".nnq").find("name it *.nnq"), std::string::npos);
  EXPECT_NE(why("", {}, "").find("is empty"), std::string::npos);
  EXPECT_NE(why(model / "below.nnq", {}, ".nnq").find("cannot be written"), std::string::npos);
  EXPECT_NE(why("/proc/x.nnq", {}, ".nnq").find("cannot be written"), std::string::npos);
  EXPECT_EQ(content(model), "weights");
  EXPECT_EQ(names().size(), 3U) << "nothing is left of looking";
}

TEST_F(AtomicFile, MakesMissingFolders) {
  write_file_atomically(folder / "a/b/c.txt", std::string_view("x"));
  EXPECT_EQ(content(folder / "a/b/c.txt"), "x");
}

TEST_F(AtomicFile, HoldsAnyByte) {
  std::string bytes(100000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31);
  write_file_atomically(folder / "x", std::string_view(bytes));
  EXPECT_EQ(content(folder / "x"), bytes);
}

TEST_F(AtomicFile, AFailedRenameLeavesTheOldAndNoTemporary) {
  const fs::path target = folder / "taken";  // a directory cannot be renamed over
  fs::create_directory(target);
  write_file_atomically(target / "inside", std::string_view("old"));
  const std::string bytes = "new";
  const Status status =
      try_write_file_atomically(target, std::as_bytes(std::span<const char>(bytes.data(), bytes.size())));
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find(target.string()), std::string::npos) << status.message();
  EXPECT_EQ(content(target / "inside"), "old");
  EXPECT_EQ(names(), std::vector<std::string>{"taken"});
}

TEST_F(AtomicFile, AFileInTheWayOfAFolderIsNamed) {
  write_file_atomically(folder / "file", std::string_view("old"));
  EXPECT_THROW(write_file_atomically(folder / "file/x", std::string_view("new")), Error);
  EXPECT_EQ(content(folder / "file"), "old");
  EXPECT_EQ(names(), std::vector<std::string>{"file"});
}

TEST_F(AtomicFile, AThreadReadingDuringWritesSeesAWholeFile) {
  const fs::path file = folder / "shared";
  const std::string a(50000, 'a'), b(70000, 'b');
  write_file_atomically(file, std::string_view(a));
  std::thread writer([&] {
    for (int i = 0; i < 40; ++i) write_file_atomically(file, std::string_view(i % 2 == 0 ? b : a));
  });
  for (int i = 0; i < 200; ++i) {
    const std::string seen = content(file);
    EXPECT_TRUE(seen == a || seen == b) << seen.size();
  }
  writer.join();
}

TEST_F(AtomicFile, ThreadsThatWriteTheSameFileDoNotMix) {
  const fs::path file = folder / "shared";
  std::vector<std::thread> threads;
  for (const char letter : {'a', 'b', 'c', 'd'}) {
    threads.emplace_back([&, letter] {
      for (int i = 0; i < 10; ++i) write_file_atomically(file, std::string_view(std::string(10000, letter)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string seen = content(file);
  EXPECT_EQ(seen, std::string(10000, seen[0]));
  EXPECT_EQ(names(), std::vector<std::string>{"shared"});
}

TEST_F(AtomicFile, ReadingRefusesWhatIsTooLargeMissingOrNoFile) {
  write_file_atomically(folder / "ten", std::string_view("0123456789"));
  std::vector<std::byte> bytes;
  EXPECT_TRUE(try_read_file(folder / "ten", 10, bytes).ok());
  EXPECT_EQ(bytes.size(), 10u);
  const Status large = try_read_file(folder / "ten", 9, bytes);
  EXPECT_EQ(large.code(), StatusCode::bad_file);
  EXPECT_NE(large.message().find("10 bytes, more than the 9 allowed"), std::string::npos) << large.message();
  EXPECT_NE(try_read_file(folder / "none", 9, bytes).message().find("No such file"), std::string::npos);
  EXPECT_NE(try_read_file(folder, 9, bytes).message().find("not a regular file"), std::string::npos);
  EXPECT_FALSE(try_read_file("/dev/zero", 9, bytes).ok());
}

}  // namespace
}  // namespace nnq
