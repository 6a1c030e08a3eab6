// The version of the library, from the one place that states it (CMakeLists.txt).
#pragma once

namespace nnq {

/// "0.1.0"
const char* version();

}  // namespace nnq
