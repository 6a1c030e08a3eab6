// Where this program lies: installed files are looked for relative to it.
#pragma once

#include <filesystem>

namespace nnq::cli {

/// Folder of the running executable, "." when the system does not tell.
std::filesystem::path program_folder();

}  // namespace nnq::cli
