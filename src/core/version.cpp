#include "nnq/version.h"

namespace nnq {

const char* version() { return NNQ_VERSION; }

}  // namespace nnq
