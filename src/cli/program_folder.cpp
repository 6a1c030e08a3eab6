#include "cli/program_folder.h"

#include <unistd.h>

#include <array>
#include <string>

namespace nnq::cli {

std::filesystem::path program_folder() {
  std::array<char, 4096> buffer{};
  const ssize_t n = readlink("/proc/self/exe", buffer.data(), buffer.size() - 1);
  return n > 0 ? std::filesystem::path(std::string(buffer.data(), static_cast<std::size_t>(n))).parent_path() : ".";
}

}  // namespace nnq::cli
