// Files of a test's own and what a refusal says.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "nnq/dataset.h"
#include "nnq/error.h"

namespace nnq::test {

/// A directory of the test's own that ends with it.
class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/nnq_data_XXXXXX";
    folder = mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    const std::filesystem::path file = folder / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

  std::filesystem::path folder;
};

inline std::string gzipped(const std::string& bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
  std::string out(deflateBound(&stream, bytes.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// What the nnq::Error of `work` says; "" when it throws none. Other exceptions fall through and fail the test.
template <class F>
std::string refusal(F&& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

inline testing::AssertionResult holds(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << text << "' does not hold '" << part << "'";
}

/// `count` byte samples [c, h, w] whose every pixel is a function of its place, labels i % classes.
inline Samples numbered(std::int64_t count, std::int64_t channels, std::int64_t height, std::int64_t width,
                        std::int64_t classes = 3) {
  Samples samples;
  samples.images = Tensor(DType::u8, {count, channels, height, width});
  std::uint64_t i = 0;
  for (std::uint8_t& v : samples.images.mutable_values<std::uint8_t>())
    v = static_cast<std::uint8_t>((i++ * 2654435761u) >> 7);
  samples.labels = Tensor(DType::i64, {count});
  std::int64_t k = 0;
  for (std::int64_t& v : samples.labels.mutable_values<std::int64_t>()) v = k++ % classes;
  for (std::int64_t c = 0; c < classes; ++c) samples.classes.push_back("class " + std::to_string(c));
  samples.source = "numbered";
  return samples;
}

/// An environment variable set for a while.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name); old != nullptr) {
      had_ = true;
      old_ = old;
    }
    if (value != nullptr)
      setenv(name, value, 1);
    else
      unsetenv(name);
  }
  ~Environment() {
    if (had_)
      setenv(name_, old_.c_str(), 1);
    else
      unsetenv(name_);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  bool had_ = false;
  std::string old_;
};

}  // namespace nnq::test
