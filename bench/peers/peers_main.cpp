// nnq beside ONNX Runtime, oneDNN, XNNPACK and OpenBLAS: bench/peers/run.sh builds this, pins it to a core and runs it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <thread>

#include "nnq/error.h"
#include "nnq/version.h"
#include "record.h"
#include "workloads.h"

namespace nnq::peers {
namespace {

std::vector<Task> all_tasks() {
  std::vector<Task> tasks;
  for (const auto& group : {gemm_tasks(), convolution_tasks(), matvec_tasks(), lstm_tasks(), network_tasks()})
    tasks.insert(tasks.end(), group.begin(), group.end());
  for (std::size_t i = 0; i < tasks.size(); ++i) tasks[i].order = static_cast<int>(i);
  return tasks;
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&now));
  return text;
}

int run(int argc, char** argv) {
  CLI::App app("nnq beside its peers: by turns, one thread, medians; equality first");
  bool quick = false, list = false;
  std::vector<std::string> only;
  std::string record = NNQ_SOURCE_DIR "/build/peers/results";
  Turns turns;
  app.add_flag("--quick", quick, "a subset of workloads and contenders, in less than three minutes");
  app.add_flag("--list", list, "list groups and workloads");
  app.add_option("--only", only, "groups, or workloads whose name contains this (repeatable)");
  app.add_option("--rounds", turns.rounds, "turns of every contender")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--record", record, "folder of the records: results/performance for those of docs/performance.md");
  CLI11_PARSE(app, argc, argv);
  if (quick) turns.rounds = std::min(turns.rounds, 5);
  const char* script = std::getenv("NNQ_PEERS_COMMAND");
  const std::string command = script != nullptr ? script : "bench_peers";

  std::vector<Task> tasks = all_tasks();
  std::erase_if(tasks, [&](const Task& task) {
    const bool wanted = only.empty() || std::any_of(only.begin(), only.end(), [&](const std::string& word) {
                          return task.group == word || task.name.find(word) != std::string::npos;
                        });
    return !wanted || (quick && !task.quick);
  });
  if (tasks.empty()) throw Error("no workload of this name", "--only", "--list shows them");
  if (list) {
    for (const Task& task : tasks) fmt::print("{:<12} {}{}\n", task.group, task.name, task.quick ? "  (quick)" : "");
    return 0;
  }
  const std::filesystem::path folder = NNQ_SOURCE_DIR "/build/peers/models";
  OnnxRuntime runtime(folder);
  for (const Task& task : tasks) {
    fmt::print(stderr, "{}: preparing\n", task.name);
    const Workload workload = task.make({runtime, folder, quick});
    fmt::print(stderr, "{}: {} contenders, {} rounds\n", task.name, workload.contenders.size(), turns.rounds);
    nlohmann::ordered_json document = {
        {"group", task.group}, {"order", task.order}, {"command", command}, {"date", today()}, {"version", version()}};
    document["machine"] = machine();
    document.update(measure(workload, turns));
    double load[1] = {0};
    if (getloadavg(load, 1) == 1) document["load"] = load[0];
    fmt::print("{}", table(document));
    std::fflush(stdout);
    write_record(record, document);
  }
  return 0;
}

}  // namespace
}  // namespace nnq::peers

int main(int argc, char** argv) {
  try {
    return nnq::peers::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "peers: {}\n", error.what());
    return 2;
  }
}
