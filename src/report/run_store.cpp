#include "nnq/run_store.h"

#include <cstdlib>

#include "nnq/error.h"
#include "report/sqlite.h"

namespace nnq {
namespace {

namespace fs = std::filesystem;
using report::Connection;
using report::Statement;
using report::Transaction;

constexpr std::int64_t kSchema = 1;  // PRAGMA user_version

constexpr const char* kTables = R"sql(
CREATE TABLE IF NOT EXISTS runs(
  id INTEGER PRIMARY KEY, folder TEXT NOT NULL UNIQUE, name TEXT NOT NULL, data TEXT NOT NULL,
  recipe_hash TEXT NOT NULL, version TEXT NOT NULL, started TEXT NOT NULL, seed INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'running');
CREATE TABLE IF NOT EXISTS epochs(
  run INTEGER NOT NULL REFERENCES runs(id), stage INTEGER NOT NULL, epoch INTEGER NOT NULL, metric TEXT NOT NULL,
  value REAL, PRIMARY KEY(run, stage, epoch, metric)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results(
  run INTEGER PRIMARY KEY REFERENCES runs(id), metric TEXT NOT NULL, value REAL, float_value REAL,
  bytes INTEGER NOT NULL, float_bytes INTEGER NOT NULL, met INTEGER NOT NULL, seconds REAL);
PRAGMA user_version = 1;
)sql";

const fs::path& with_parent(const fs::path& file) {
  if (file.has_parent_path()) {
    std::error_code failure;
    fs::create_directories(file.parent_path(), failure);
    if (failure) throw Error("the folder of the run store cannot be made", file.string(), failure.message());
  }
  return file;
}

}  // namespace

struct RunStore::State {
  Connection connection;

  explicit State(const fs::path& file) : connection(with_parent(file)) {
    connection.run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
    const auto schema = [&] {
      Statement statement(connection, "PRAGMA user_version");
      statement.step();
      return statement.integer(0);
    };
    if (schema() > kSchema) throw Error("the run store was written by a newer nnq", file.string(), "update nnq");
    if (schema() == kSchema) return;
    Transaction transaction(connection);
    connection.run(kTables);
    transaction.commit();
  }
};

fs::path RunStore::default_path() {
  const char* chosen = std::getenv("NNQ_RUNS");
  return chosen != nullptr && *chosen != '\0' ? fs::path(chosen) : fs::path("runs") / "runs.sqlite";
}

RunStore::RunStore(const fs::path& file) : state_(std::make_unique<State>(file)) {}
RunStore::~RunStore() = default;
RunStore::RunStore(RunStore&&) noexcept = default;
RunStore& RunStore::operator=(RunStore&&) noexcept = default;

std::int64_t RunStore::begin_run(const RunRecord& record, bool resume) {
  const std::string folder = fs::weakly_canonical(fs::absolute(record.folder)).string();
  Transaction transaction(state_->connection);
  Statement(state_->connection,
            "INSERT INTO runs(folder, name, data, recipe_hash, version, started, seed) VALUES(?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT(folder) DO UPDATE SET state = 'running', name = excluded.name, data = excluded.data, "
            "recipe_hash = excluded.recipe_hash, version = excluded.version, started = excluded.started, "
            "seed = excluded.seed")
      .bind(folder)
      .bind(record.name)
      .bind(record.data)
      .bind(record.recipe_hash)
      .bind(record.version)
      .bind(record.started)
      .bind(static_cast<std::int64_t>(record.seed))
      .step();
  Statement found(state_->connection, "SELECT id FROM runs WHERE folder = ?");
  found.bind(folder).step();
  const std::int64_t id = found.integer(0);
  Statement(state_->connection, "DELETE FROM results WHERE run = ?").bind(id).step();
  if (!resume) Statement(state_->connection, "DELETE FROM epochs WHERE run = ?").bind(id).step();
  transaction.commit();
  return id;
}

void RunStore::add_epoch(std::int64_t run, std::int64_t stage, std::int64_t epoch,
                         const std::map<std::string, double>& metrics) {
  Transaction transaction(state_->connection);
  Statement(state_->connection, "DELETE FROM epochs WHERE run = ? AND stage = ? AND epoch = ?")
      .bind(run)
      .bind(stage)
      .bind(epoch)
      .step();
  Statement insert(state_->connection, "INSERT INTO epochs VALUES(?, ?, ?, ?, ?)");
  for (const auto& [metric, value] : metrics) {
    insert.bind(run).bind(stage).bind(epoch).bind(metric).bind(value).step();
    insert.reset();
  }
  transaction.commit();
}

void RunStore::forget_after(std::int64_t run, std::int64_t stage, std::int64_t epoch) {
  Statement(state_->connection, "DELETE FROM epochs WHERE run = ?1 AND (stage > ?2 OR (stage = ?2 AND epoch > ?3))")
      .bind(run)
      .bind(stage)
      .bind(epoch)
      .step();
}

void RunStore::finish_run(std::int64_t run, const RunOutcome& outcome) {
  Transaction transaction(state_->connection);
  Statement(state_->connection, "UPDATE runs SET state = ? WHERE id = ?").bind(outcome.state).bind(run).step();
  Statement(state_->connection, "INSERT OR REPLACE INTO results VALUES(?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(run)
      .bind(outcome.metric)
      .bind(outcome.value)
      .bind(outcome.float_value)
      .bind(static_cast<std::int64_t>(outcome.bytes))
      .bind(static_cast<std::int64_t>(outcome.float_bytes))
      .bind(std::int64_t{outcome.met ? 1 : 0})
      .bind(outcome.seconds)
      .step();
  transaction.commit();
}

std::vector<StoredRun> RunStore::list() const {
  Statement rows(state_->connection,
                 "SELECT id, folder, name, data, recipe_hash, version, started, seed, state, "
                 "(SELECT COUNT(*) FROM (SELECT DISTINCT stage, epoch FROM epochs WHERE run = id)), "
                 "metric, value, float_value, bytes, float_bytes, met, seconds "
                 "FROM runs LEFT JOIN results ON results.run = runs.id ORDER BY id DESC");
  std::vector<StoredRun> runs;
  while (rows.step()) {
    StoredRun run;
    run.id = rows.integer(0);
    run.record = {.folder = rows.text(1),
                  .name = rows.text(2),
                  .data = rows.text(3),
                  .recipe_hash = rows.text(4),
                  .version = rows.text(5),
                  .started = rows.text(6),
                  .seed = static_cast<std::uint64_t>(rows.integer(7))};
    run.epochs = rows.integer(9);
    run.outcome = {.state = rows.text(8),
                   .metric = rows.text(10),
                   .value = rows.real(11),
                   .float_value = rows.real(12),
                   .bytes = static_cast<std::uint64_t>(rows.integer(13)),
                   .float_bytes = static_cast<std::uint64_t>(rows.integer(14)),
                   .met = rows.integer(15) != 0,
                   .seconds = rows.real(16)};
    runs.push_back(std::move(run));
  }
  return runs;
}

std::map<std::string, std::vector<double>> RunStore::curves(std::int64_t run) const {
  Statement rows(state_->connection, "SELECT metric, value FROM epochs WHERE run = ? ORDER BY stage, epoch, metric");
  rows.bind(run);
  std::map<std::string, std::vector<double>> curves;
  while (rows.step()) curves[rows.text(0)].push_back(rows.real(1));
  return curves;
}

}  // namespace nnq
