// A folder for a cache of weights, gone with the test.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace nnq::test {

class WeightsFolder {
 public:
  /// On a file system in memory where there is one: thousands of files are synced that nobody wants to keep.
  explicit WeightsFolder(bool in_memory = true) {
    const bool shm = in_memory && std::filesystem::is_directory("/dev/shm");
    std::string pattern =
        (shm ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path()) / "nnq_weights_XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~WeightsFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  WeightsFolder(const WeightsFolder&) = delete;
  WeightsFolder& operator=(const WeightsFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::string cache() const { return (path_ / "cache").string(); }
  std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> all;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(cache(), none)) all.push_back(entry.path());
    return all;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace nnq::test
