// Work that is done by several processes of this program at once.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace nnq::cli {

/// One call of this program.
struct Process {
  std::string title;                   // what is shown while it runs
  std::vector<std::string> arguments;  // behind the program's name
  std::filesystem::path log;           // takes what it writes; removed when it ends well
};

/// Runs all, `at_once` at a time, in their order, and shows which ended and what runs. Ends well: exit code 0 or 1.
/// Returns false when this program or one of the processes is interrupted (Ctrl-C, SIGTERM), after stopping those that
/// run. Throws nnq::Error, with the last line that it wrote, when one fails: the others are stopped first. They end
/// with this program, too.
bool run_processes(const std::vector<Process>& processes, int at_once);

}  // namespace nnq::cli
