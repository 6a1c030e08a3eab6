// External data come from regular files beside the model, and from nowhere else.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "models.h"

namespace nnq::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// A folder with a model whose initializer w lies in another file.
class ImportExternal : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(inside_ / "deeper");
    write(inside_ / "w.bin");
    write(inside_ / "deeper" / "w.bin");
    write(folder_ / "outside.bin");
    fs::create_symlink(folder_ / "outside.bin", inside_ / "link.bin");
    fs::create_directory_symlink(folder_, inside_ / "up");
    fs::create_symlink(inside_ / "w.bin", inside_ / "link_inside.bin");
    ::mkfifo((inside_ / "pipe").c_str(), 0600);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static void write(const fs::path& file) {
    const std::vector<float> values{1, 2, 3, 4, 5, 6};
    std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(values.data()), 24);
  }
  std::string error(const std::map<std::string, std::string>& entries, const Shape& shape = {2, 3}) const {
    onnx::ModelProto model = one_node("Add", {"x", "w"});
    auto& w = add_initializer(model, "w", shape);
    w.set_data_location(onnx::TensorProto::EXTERNAL);
    for (const auto& [key, value] : entries) {
      auto& entry = *w.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    }
    std::ofstream(inside_ / "model.onnx", std::ios::binary) << model.SerializeAsString();
    return error_of([&] { import_onnx(inside_ / "model.onnx"); });
  }

  const fs::path folder_ = fs::path(::testing::TempDir()) / ("nnq_external_" + std::to_string(::getpid()));
  const fs::path inside_ = folder_ / "inside";
};

TEST_F(ImportExternal, IsReadFromBesideTheModel) {
  EXPECT_EQ(error({{"location", "w.bin"}}), "");
  EXPECT_EQ(error({{"location", "./w.bin"}, {"offset", "0"}, {"length", "24"}}), "");
  EXPECT_EQ(error({{"location", "deeper/w.bin"}}), "");
  EXPECT_EQ(error({{"location", "link_inside.bin"}}), "");
  EXPECT_EQ(error({{"location", "w.bin"}, {"offset", "12"}, {"length", "12"}}, {1, 3}), "");
}

TEST_F(ImportExternal, NeverFromElsewhere) {
  for (const std::string& location :
       {std::string("../outside.bin"), std::string("deeper/../../outside.bin"), (folder_ / "outside.bin").string(),
        std::string("link.bin"), std::string("up/outside.bin"), std::string(""), std::string("/dev/zero"),
        std::string("/etc/passwd"), std::string("missing.bin"), std::string("w.bin\0.txt", 10), std::string("."),
        std::string("deeper"), std::string("pipe"), std::string(5000, 'a')})
    EXPECT_THAT(error({{"location", location}}), AllOf(HasSubstr("'w'"), HasSubstr("model.onnx"))) << location;
  EXPECT_THAT(error({}), HasSubstr("'w'"));
}

TEST_F(ImportExternal, NeverBeyondTheFile) {
  for (const auto& [offset, length] : {std::pair{"25", "0"},
                                       {"0", "25"},
                                       {"12", "24"},
                                       {"-4", "24"},
                                       {"0", "-24"},
                                       {"9223372036854775807", "24"},
                                       {"24", "9223372036854775807"},
                                       {"99999999999999999999", "24"},
                                       {"x", "24"},
                                       {"0", "1e3"},
                                       {"0", "12"}})
    EXPECT_THAT(error({{"location", "w.bin"}, {"offset", offset}, {"length", length}}), HasSubstr("'w'"))
        << offset << " " << length;
  EXPECT_THAT(error({{"location", "w.bin"}}, {1'000'000'000, 1'000'000'000}), HasSubstr("'w'"));
}

TEST_F(ImportExternal, NotForBytesInMemory) {
  error({{"location", "w.bin"}});
  std::ifstream file(inside_ / "model.onnx", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  EXPECT_THAT(error_of([&] { import_bytes(bytes); }), HasSubstr("external data"));
}

}  // namespace
}  // namespace nnq::test
