// The channel interactions that CI-BCNN mined in a run, as a picture.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace nnq {

/// An edge of a layer's channel graph: what teacher's popcount adds to student's.
struct PlotEdge {
  std::string layer;
  int teacher = 0, student = 0;
  int influence = 0;  // K: +-3, +-5, ...; its sign is that of the correction
};

/// The `interaction` records of a run's metrics.jsonl. Throws nnq::Error naming the file when there are none.
std::vector<PlotEdge> read_interactions(const std::filesystem::path& run);

/// A panel a layer, teachers above, students below; blue adds to a student, orange takes from it, wider lines have more
/// steps. The same edges give the same bytes.
std::string interactions_svg(const std::vector<PlotEdge>& edges, const std::string& title);

}  // namespace nnq
