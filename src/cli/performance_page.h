// docs/performance.md: nnq beside other libraries, from the records of bench/peers. Generated, never typed.
#pragma once

#include <filesystem>
#include <string>

namespace nnq::cli {

/// Markdown made from FOLDER/<instruction set>/<group>/<workload>.json (bench/peers/run.sh --record): goals, where nnq
/// is slower, every figure. Throws nnq::Error when there is no record, and naming the file that cannot be read.
std::string performance_page(const std::filesystem::path& folder);

}  // namespace nnq::cli
