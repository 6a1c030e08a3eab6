// Image folders: FOLDER/class/name.png, or FOLDER/train/class/... and FOLDER/test/class/...
#pragma once

#include <filesystem>

#include "nnq/dataset.h"

namespace nnq::data {

/// All images must have one size; grey and colour do not mix. Classes are the sub-folders in alphabetical order,
/// those of FOLDER/train for both splits.
Samples samples_from_folders(const std::filesystem::path& folder, Split split);

}  // namespace nnq::data
