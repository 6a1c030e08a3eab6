// Runs the built nnq as a user does and gives back what it printed.
#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

namespace nnq::test {

struct Ran {
  int code = -1;
  std::string out, err;
  nlohmann::json document() const { return nlohmann::json::parse(out, nullptr, false); }
};

/// A folder of its own for one test, removed with it.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "nnq_cli_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string slurp(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

/// `arguments` as typed behind "nnq"; `before` is put in front of the program, e.g. "NNQ_DATA=/x" or "ulimit -v 1; ".
inline Ran nnq(const std::string& arguments, const std::string& before = "") {
  const Folder folder;
  const std::string program = std::string(NNQ_BINARY_DIR) + "/bin/nnq";
  const std::string line = before + " '" + program + "' " + arguments + " >'" + (folder / "out") + "' 2>'" +
                           (folder / "err") + "' </dev/null";
  const int status = std::system(line.c_str());
  Ran ran;
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  ran.out = slurp(folder / "out");
  ran.err = slurp(folder / "err");
  return ran;
}

}  // namespace nnq::test
