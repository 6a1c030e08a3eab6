// Reads the sources: no include may run up the floors, no LibTorch header may stand outside the wall, no file may grow
// past 800 lines, public headers see only public headers.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

/// Floor of each room; a room may include its own files and rooms strictly below (docs/architecture.md).
const std::map<std::string, int> floors = {{"core", 10},  {"pack", 11},    {"ops", 20},      {"kernels", 21},
                                           {"graph", 25}, {"data", 26},    {"report", 27},   {"runtime", 30},
                                           {"onnx", 31},  {"zoo", 32},     {"quantize", 33}, {"lower", 40},
                                           {"train", 50}, {"methods", 60}, {"recipe", 70},   {"cli", 80}};

/// What a public header belongs to, where its name does not say it.
const std::map<std::string, std::string> header_room = {{"status.h", "core"},
                                                        {"error.h", "core"},
                                                        {"tensor.h", "core"},
                                                        {"version.h", "core"},
                                                        {"node.h", "ops"},
                                                        {"op.h", "ops"},
                                                        {"graph.h", "graph"},
                                                        {"passes.h", "graph"},
                                                        {"onnx.h", "onnx"},
                                                        {"encoding.h", "pack"},
                                                        {"dataset.h", "data"},
                                                        {"quantize.h", "quantize"},
                                                        {"zoo.h", "zoo"},
                                                        {"program.h", "runtime"},
                                                        {"runtime.h", "runtime"},
                                                        {"nnq.h", "runtime"},
                                                        {"inspect.h", "lower"},
                                                        {"lower.h", "lower"},
                                                        {"run_store.h", "report"},
                                                        {"report.h", "report"},
                                                        {"train_api.h", "quantize"},
                                                        {"robustness.h", "quantize"},
                                                        {"transfer.h", "quantize"},
                                                        {"real_planes.h", "runtime"},
                                                        {"recurrent.h", "graph"},
                                                        {"text.h", "data"}};

struct Include {
  fs::path file;
  int line;
  std::string target;
  bool quoted;
};

std::vector<Include> includes_of(const fs::path& file) {
  static const std::regex pattern(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"])re");
  std::vector<Include> found;
  std::ifstream in(file);
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    std::smatch match;
    if (std::regex_search(line, match, pattern)) found.push_back({file, number, match[2], match[1] == "\""});
  }
  return found;
}

std::vector<fs::path> sources(const fs::path& root) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string extension = entry.path().extension().string();
    if (entry.is_regular_file() && (extension == ".cpp" || extension == ".h" || extension == ".c"))
      files.push_back(entry.path());
  }
  return files;
}

const fs::path root = NNQ_SOURCE_DIR;

std::string room_of(const fs::path& file) { return fs::relative(file, root / "src").begin()->string(); }

/// The room an include leads to, or "" for the standard library and other libraries.
std::string target_room(const std::string& target) {
  if (target.starts_with("nnq/")) {
    const auto it = header_room.find(target.substr(4));
    return it == header_room.end() ? "?" : it->second;
  }
  const std::string first = target.substr(0, target.find('/'));
  return floors.contains(first) && target.find('/') != std::string::npos ? first : "";
}

bool is_torch(const std::string& target) {
  return target.starts_with("torch/") || target.starts_with("ATen/") || target.starts_with("c10/");
}

TEST(Architecture, IncludesPointDownTheFloors) {
  for (const fs::path& file : sources(root / "src")) {
    const std::string room = room_of(file);
    ASSERT_TRUE(floors.contains(room)) << file << ": room '" << room
                                       << "' has no floor in this test and in docs/architecture.md";
    const bool is_test = file.stem().string().ends_with("_test") || file.stem().string().ends_with("_bench");
    for (const Include& include : includes_of(file)) {
      const std::string target = target_room(include.target);
      if (target.empty() || is_test) continue;
      ASSERT_NE(target, "?") << file << ":" << include.line << ": public header " << include.target
                             << " has no room in this test";
      EXPECT_TRUE(target == room || floors.at(target) < floors.at(room))
          << file << ":" << include.line << ": " << room << " may not include " << include.target << " of " << target;
    }
  }
}

TEST(Architecture, LibTorchStaysBehindTheWall) {
  for (const fs::path& folder : {root / "src", root / "include"}) {
    for (const fs::path& file : sources(folder)) {
      const std::string room = folder.filename() == "src" ? room_of(file) : "include";
      for (const Include& include : includes_of(file)) {
        EXPECT_FALSE(is_torch(include.target) && room != "train" && room != "methods")
            << file << ":" << include.line << ": LibTorch header outside src/train and src/methods";
      }
    }
  }
}

TEST(Architecture, PublicHeadersIncludeOnlyPublicHeaders) {
  for (const fs::path& file : sources(root / "include")) {
    for (const Include& include : includes_of(file)) {
      if (include.quoted) {
        EXPECT_TRUE(include.target.starts_with("nnq/")) << file << ":" << include.line << ": " << include.target;
      }
    }
  }
}

TEST(Architecture, FilesHoldOneIdea) {
  for (const fs::path& folder : {root / "src", root / "include", root / "tests", root / "bench", root / "fuzz"}) {
    for (const fs::path& file : sources(folder)) {
      std::ifstream in(file);
      const auto lines = std::count(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>(), '\n');
      EXPECT_LE(lines, 800) << file << " has grown past 800 lines: split it";
    }
  }
}

}  // namespace
