#include "recipe/run_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "core/atomic_file.h"
#include "nnq/error.h"
#include "nnq/version.h"
#include "recipe/machine.h"
#include "recipe/source.h"

namespace nnq::recipe {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

/// Metrics may hold text from anywhere; a byte that is not UTF-8 must not cost the run.
std::string dump(const ordered_json& value, int indent) {
  return value.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

[[noreturn]] void system_error(const std::string& what, const fs::path& where) {
  throw Error(fmt::format("{}: {}", what, std::strerror(errno)), where.string());
}

std::string read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return {};
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Holds the folder for this process until it ends, however it ends.
int lock_folder(const fs::path& folder) {
  const fs::path file = folder / "lock";
  const int descriptor = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) system_error("cannot be opened", file);
  if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) return descriptor;
  close(descriptor);
  throw Error("another nnq process works in this run directory", folder.string(), "wait for it, or use another --run");
}

/// Holds nothing but what a run leaves that was killed before it had begun.
bool is_empty_folder(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool torn = name.starts_with(".run.json.") || name.starts_with(".recipe.toml.");
    if (name != "lock" && name != "run.json" && !torn) return false;
  }
  return true;
}

/// Makes the first free runs/<name>-<n>. mkdir decides between processes that try the same n.
fs::path make_numbered(const std::string& name) {
  fs::create_directories("runs");
  for (int n = 1; n < 1000000; ++n) {
    const fs::path folder = fs::path("runs") / fmt::format("{}-{}", name, n);
    if (mkdir(folder.c_str(), 0755) == 0) return folder;
    if (errno != EEXIST) system_error("cannot be made", folder);
  }
  throw Error("holds too many runs of this name", "runs");
}

/// The highest n of runs/<name>-<n>.
fs::path last_numbered(const std::string& name) {
  fs::path last;
  int most = 0;
  if (fs::is_directory("runs")) {
    for (const auto& entry : fs::directory_iterator("runs")) {
      const std::string text = entry.path().filename().string();
      if (!text.starts_with(name + "-")) continue;
      int n = 0;
      const auto [end, error] = std::from_chars(text.data() + name.size() + 1, text.data() + text.size(), n);
      if (error == std::errc() && end == text.data() + text.size() && n > most) most = n, last = entry.path();
    }
  }
  if (last.empty()) throw Error("there is no run of '" + name + "' to resume", "runs", "start it without --resume");
  return last;
}

fs::path clean(const fs::path& folder) {
  const fs::path normal = folder.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

void flatten(const toml::node& node, const std::string& path, std::map<std::string, std::string>& values) {
  const auto below = [&](std::string_view key) {
    return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
  };
  if (const toml::table* table = node.as_table()) {
    for (const auto& [key, value] : *table) flatten(value, below(key.str()), values);
  } else if (const toml::array* list = node.as_array();
             list != nullptr && !list->empty() && list->is_array_of_tables()) {
    for (std::size_t i = 0; i < list->size(); ++i) flatten(*list->get(i), below(std::to_string(i)), values);
  } else {
    std::ostringstream out;
    node.visit([&](const auto& value) { out << value; });
    values[path] = out.str();
  }
}

ordered_json read_origin(const fs::path& folder) {
  ordered_json record = ordered_json::parse(read_text(folder / "run.json"), nullptr, false);
  if (!record.is_object()) throw Error("is not a JSON object", (folder / "run.json").string());
  return record;
}

ordered_json machine_json() {
  const Machine machine = this_machine();
  return {{"cpu", machine.cpu}, {"cores", machine.cores}, {"memory_bytes", machine.memory_bytes}, {"isa", machine.isa}};
}

}  // namespace

std::string first_difference(const std::string& a, const std::string& b) {
  std::map<std::string, std::string> left, right;
  flatten(parse_toml(a, "recipe.toml"), "", left);
  flatten(parse_toml(b, "recipe"), "", right);
  for (const auto& [key, value] : left) {
    const auto it = right.find(key);
    if (it == right.end() || it->second != value) return key;
  }
  for (const auto& [key, value] : right) {
    if (!left.contains(key)) return key;
  }
  return {};
}

RunDirectory RunDirectory::create(const fs::path& wanted, const Recipe& recipe, const std::string& command) {
  const fs::path folder = wanted.empty() ? make_numbered(recipe.name) : clean(wanted);
  std::error_code failure;
  const bool there_before = !wanted.empty() && fs::exists(folder, failure);
  fs::create_directories(folder, failure);
  if (!fs::is_directory(folder)) throw Error("cannot be made a run directory", folder.string(), failure.message());
  RunDirectory run(folder, lock_folder(folder));
  if (fs::exists(folder / "recipe.toml"))
    throw Error("already holds a run", folder.string(), "go on with --resume, or use another folder");
  remove_stale_temporaries(folder);
  if (!is_empty_folder(folder)) throw Error("is not empty", folder.string(), "runs go to a folder of their own");
  const ordered_json record = {{"version", version()},
                               {"name", recipe.name},
                               {"seed", recipe.seed},
                               {"machine", machine_json()},
                               {"started", utc_now()},
                               {"command", command},
                               {"data", recipe.data},
                               {"data_hash", nullptr},  // not read yet
                               {"recipe_hash", recipe_hash(recipe)},
                               {"resumed", ordered_json::array()}};
  write_file_atomically(folder / "run.json", dump(record, 2) + "\n");
  // Last: a folder with a recipe is a run that can be resumed.
  write_file_atomically(folder / "recipe.toml", to_toml(recipe));
  run.created_ = true;
  run.made_folder_ = !there_before;
  return run;
}

RunDirectory RunDirectory::resume(const fs::path& wanted, const Recipe& recipe) {
  const fs::path folder = wanted.empty() ? last_numbered(recipe.name) : clean(wanted);
  if (!fs::exists(folder / "recipe.toml"))
    throw Error("holds no run to resume", folder.string(), "start it without --resume");
  RunDirectory run(folder, lock_folder(folder));
  remove_stale_temporaries(folder);
  const std::string before = read_text(folder / "recipe.toml"), now = to_toml(recipe);
  if (before != now) {
    const std::string key = first_difference(before, now);
    throw Error(key.empty() ? "the recipe of this run is written differently"
                            : fmt::format("the recipe of this run differs in '{}'", key),
                (folder / "recipe.toml").string(), "resume with the recipe and overrides it was started with");
  }
  ordered_json record = read_origin(folder);
  if (!record["resumed"].is_array()) record["resumed"] = ordered_json::array();
  record["resumed"].push_back({{"time", utc_now()}, {"version", version()}, {"machine", machine_json()}});
  write_file_atomically(folder / "run.json", dump(record, 2) + "\n");
  return run;
}

void RunDirectory::remove_unused() {
  if (!created_) return;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder_, failure)) {
    const std::string name = entry.path().filename().string();
    if (name != "lock" && name != "run.json" && name != "recipe.toml") return;
  }
  for (const char* name : {"recipe.toml", "run.json", "lock"}) fs::remove(folder_ / name, failure);
  if (made_folder_) fs::remove(folder_, failure);
}

void RunDirectory::set_data_hash(std::uint64_t hash) {
  ordered_json record = read_origin(folder_);
  const ordered_json before = record["data_hash"], now = fmt::format("{:016x}", hash);
  if (before == now) return;
  if (!before.is_null())
    throw Error("the run was begun with other data: its training set has changed", folder_.string(),
                "start a new run, without --resume");
  record["data_hash"] = now;
  write_file_atomically(folder_ / "run.json", dump(record, 2) + "\n");
}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) close(lock_);
}

RunDirectory::RunDirectory(RunDirectory&& other) noexcept
    : folder_(std::move(other.folder_)),
      lock_(std::exchange(other.lock_, -1)),
      created_(std::exchange(other.created_, false)),
      made_folder_(other.made_folder_) {}

void RunDirectory::append_line(const std::string& line) {
  const fs::path file = folder_ / "metrics.jsonl";
  const int descriptor = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) system_error("cannot be opened", file);
  const ssize_t written = write(descriptor, line.data(), line.size());
  const bool good = written == static_cast<ssize_t>(line.size()) && fsync(descriptor) == 0;
  const int why = errno;
  close(descriptor);
  errno = written >= 0 && written < static_cast<ssize_t>(line.size()) ? ENOSPC : why;
  if (!good) system_error("cannot be written", file);
}

void RunDirectory::add_record(std::size_t stage, const ordered_json& record) {
  ordered_json line = {{"stage", stage}};
  line.update(record);
  append_line(dump(line, -1) + "\n");
}

void RunDirectory::add_epoch(std::size_t stage, const train::EpochReport& report, bool likelihood) {
  ordered_json line = {{"epoch", report.epoch}, {"loss", report.loss}};
  if (report.train_accuracy >= 0)
    line["train_accuracy"] = report.train_accuracy;
  else if (likelihood)
    line["train_perplexity"] = std::exp(report.loss);
  if (report.validation >= 0) line["validation"] = report.validation;
  line["learning_rate"] = report.learning_rate;
  line["seconds"] = report.seconds;
  if (!report.quantizers.empty()) line["quantizers"] = report.quantizers;
  add_record(stage, line);
}

void RunDirectory::forget_after(std::size_t stage, std::int64_t epoch) {
  const fs::path file = folder_ / "metrics.jsonl";
  std::istringstream in(read_text(file));
  std::string kept;
  for (std::string line; std::getline(in, line);) {
    const ordered_json record = ordered_json::parse(line, nullptr, false);
    // What cannot be read is the line that a kill tore.
    if (!record.is_object() || !record.contains("stage") || !record["stage"].is_number_unsigned()) continue;
    const auto its_stage = record["stage"].get<std::size_t>();
    // A record without epoch belongs to the end of its stage.
    const bool has_epoch = record.contains("epoch") && record["epoch"].is_number_integer();
    const bool stays =
        its_stage < stage || (its_stage == stage && has_epoch && record["epoch"].get<std::int64_t>() <= epoch);
    if (stays) kept += line + "\n";
  }
  write_file_atomically(file, kept);
}

void RunDirectory::write_result(RunResult result, const std::string& data, const ResultDetails& details) {
  result.run = folder_.string();
  ordered_json json = {{"run", result.run},
                       {"model", result.model.string()},
                       {"packed", result.packed.string()},
                       {"data", data},
                       {"bytes", result.bytes},
                       {"float_bytes", result.float_bytes},
                       {"metric", result.metric},
                       {"value", result.value},
                       {"float_value", result.float_value},
                       {"met", result.met},
                       {"seconds", result.seconds},
                       {"interrupted", result.interrupted},
                       {"count", details.count}};
  if (details.agreement) json["agreement"] = *details.agreement;
  if (!details.float_model.empty()) json["float_model"] = details.float_model.string();
  write_file_atomically(folder_ / "result.json", dump(json, 2) + "\n");
}

}  // namespace nnq::recipe
