// Loads libnnq_train.so, and with it LibTorch, only when a verb needs it.
#pragma once

#include "nnq/train_api.h"

namespace nnq::cli {

/// The training library beside this program (../lib), in the build tree, or on the loader's path. Throws nnq::Error
/// when it cannot be loaded.
const TrainApi& training();

}  // namespace nnq::cli
