#include <cstdlib>

#include "nnq/runtime.h"

namespace nnq {

std::string cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/')  // relative ones are to be ignored, says the specification
    return std::string(cache) + "/nnq";
  const char* home = std::getenv("HOME");
  return home != nullptr && home[0] != '\0' ? std::string(home) + "/.cache/nnq" : std::string();
}

}  // namespace nnq
