#include "report/sqlite.h"

#include "nnq/error.h"

namespace nnq::report {

namespace {
constexpr int kBusyMilliseconds = 10000;
}

Connection::Connection(const std::filesystem::path& file) : file_(file) {
  const int code = sqlite3_open_v2(file.c_str(), &handle_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  if (code != SQLITE_OK) {
    const std::string why = handle_ != nullptr ? sqlite3_errmsg(handle_) : "out of memory";
    sqlite3_close_v2(handle_);
    throw Error("the run store cannot be opened: " + why, file_.string(), "NNQ_RUNS names another file");
  }
  sqlite3_extended_result_codes(handle_, 0);
  sqlite3_busy_timeout(handle_, kBusyMilliseconds);
}

void Connection::run(const char* sql) const {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail();
}

void Connection::fail() const {
  const std::string why = sqlite3_errmsg(handle_);
  switch (sqlite3_errcode(handle_) & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      throw Error("the run store is damaged: " + why, file_.string(),
                  "move it away and nnq begins a new one; the run directories hold everything it knew");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw Error("the run store stays locked by another process", file_.string(), "try again when it has finished");
    case SQLITE_FULL:
      throw Error("the disk is full", file_.string());
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      throw Error("the run store cannot be written: " + why, file_.string(), "NNQ_RUNS names another file");
    default:
      throw Error("the run store refuses: " + why, file_.string());
  }
}

Statement::Statement(const Connection& connection, const char* sql) : connection_(connection) {
  if (sqlite3_prepare_v2(connection.handle(), sql, -1, &handle_, nullptr) != SQLITE_OK) connection.fail();
}

Statement& Statement::bind(const std::string& value) {
  if (sqlite3_bind_text(handle_, ++bound_, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT) != SQLITE_OK)
    connection_.fail();
  return *this;
}

Statement& Statement::bind(std::int64_t value) {
  if (sqlite3_bind_int64(handle_, ++bound_, value) != SQLITE_OK) connection_.fail();
  return *this;
}

Statement& Statement::bind(double value) {
  if (sqlite3_bind_double(handle_, ++bound_, value) != SQLITE_OK) connection_.fail();
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) connection_.fail();
  return false;
}

void Statement::reset() {
  sqlite3_reset(handle_);
  bound_ = 0;
}

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
  return data == nullptr ? std::string()
                         : std::string(data, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column)));
}

}  // namespace nnq::report
