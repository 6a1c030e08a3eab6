// The error regime of the compile-time side: one exception type that says what, where, and what to do.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "nnq/status.h"

namespace nnq {

/// Thrown for bad usage or bad input (exit code 2 at the command line), unless `fault` says it is nnq's own (exit 3).
class Error : public std::runtime_error {
 public:
  /// message: what was wrong; where: file, node, tensor, line or offset; hint: what the user can do. One line each.
  explicit Error(std::string message, std::string where = {}, std::string hint = {}, bool fault = false)
      : std::runtime_error(compose(message, where, hint)),
        message_(std::move(message)),
        where_(std::move(where)),
        hint_(std::move(hint)),
        fault_(fault) {}

  const std::string& message() const { return message_; }
  const std::string& where() const { return where_; }
  const std::string& hint() const { return hint_; }
  bool fault() const { return fault_; }

  /// The same error seen from further out, e.g. with the file's name put before the node's.
  Error inside(const std::string& outer) const {
    return Error(message_, where_.empty() ? outer : outer + ": " + where_, hint_, fault_);
  }

 private:
  static std::string compose(const std::string& message, const std::string& where, const std::string& hint) {
    std::string line = where.empty() ? message : where + ": " + message;
    if (!hint.empty()) line += " (" + hint + ")";
    return line;
  }
  std::string message_, where_, hint_;
  bool fault_;
};

/// Throws nnq::Error when a Status of the runtime side is not ok.
inline void throw_if_error(const Status& status, const std::string& where = {}) {
  if (!status.ok()) throw Error(status.message(), where, {}, status.code() == StatusCode::internal);
}

}  // namespace nnq

/// Throws nnq::Error(message, where) unless `condition` holds. `message` is only built on failure.
#define NNQ_CHECK(condition, message, ...)                                     \
  do {                                                                         \
    if (!(condition)) throw ::nnq::Error((message)__VA_OPT__(, ) __VA_ARGS__); \
  } while (false)
