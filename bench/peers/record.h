// Runs a workload's contenders by turns and writes down what came out.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "contender.h"

namespace nnq::peers {

struct Turns {
  int rounds = 9;
  double least_ms = 20;  // of a sample
};

/// Every contender once a round, `rounds` rounds; medians. "contenders" with times, quartiles, GOP/s and checks,
/// "goals" with what was measured, "ceilings" of this core before and after.
nlohmann::ordered_json measure(const Workload& workload, const Turns& turns);

/// The machine and the peers' versions.
nlohmann::ordered_json machine();

/// The table of one record as a terminal shows it.
std::string table(const nlohmann::ordered_json& record);

/// FOLDER/<isa>/<group>/<name>.json
void write_record(const std::filesystem::path& folder, const nlohmann::ordered_json& record);

}  // namespace nnq::peers
