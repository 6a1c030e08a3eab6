// SQLite as little as the run store needs: a connection, a statement, errors as nnq::Error.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace nnq::report {

class Connection {
 public:
  /// Opens or creates. Throws nnq::Error.
  explicit Connection(const std::filesystem::path& file);
  ~Connection() { sqlite3_close_v2(handle_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void run(const char* sql) const;
  sqlite3* handle() const { return handle_; }
  /// Throws the error of the last call, with what the user can do about it.
  [[noreturn]] void fail() const;

 private:
  std::filesystem::path file_;
  sqlite3* handle_ = nullptr;
};

/// A prepared statement; bind() in the order of its question marks, columns read from 0.
class Statement {
 public:
  Statement(const Connection& connection, const char* sql);
  ~Statement() { sqlite3_finalize(handle_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(const std::string& value);
  Statement& bind(std::int64_t value);
  Statement& bind(double value);
  /// True when there is a row.
  bool step();
  void reset();

  std::string text(int column) const;
  std::int64_t integer(int column) const { return sqlite3_column_int64(handle_, column); }
  double real(int column) const { return sqlite3_column_double(handle_, column); }

 private:
  const Connection& connection_;
  sqlite3_stmt* handle_ = nullptr;
  int bound_ = 0;
};

/// BEGIN IMMEDIATE; rolled back unless commit() is reached.
class Transaction {
 public:
  explicit Transaction(const Connection& connection) : connection_(connection) { connection.run("BEGIN IMMEDIATE"); }
  ~Transaction() {
    if (!done_) sqlite3_exec(connection_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit() {
    connection_.run("COMMIT");
    done_ = true;
  }

 private:
  const Connection& connection_;
  bool done_ = false;
};

}  // namespace nnq::report
