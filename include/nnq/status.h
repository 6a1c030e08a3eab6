// The error regime of the runtime side: functions that can fail return a Status, nothing throws.
// (The compile-time side, graph to command line, throws nnq::Error: see error.h and docs/adr/0003-error-regimes.md.)
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace nnq {

enum class StatusCode {
  ok = 0,
  invalid_argument,  // the caller passed something of the wrong shape, type or range
  bad_file,          // a file is truncated, corrupt, hostile, or of an unknown version
  unsupported,       // valid, but this build or machine cannot do it
  out_of_memory,     // a memory cap would be exceeded; nothing was run
  busy,              // a session is in use by another thread
  internal,          // a fault of nnq's own
};

/// Outcome of an operation: ok, or a code with one line that says what was wrong, where, and what to do.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status invalid(std::string message) { return {StatusCode::invalid_argument, std::move(message)}; }
  static Status bad_file(std::string message) { return {StatusCode::bad_file, std::move(message)}; }
  static Status unsupported(std::string message) { return {StatusCode::unsupported, std::move(message)}; }

  bool ok() const { return code_ == StatusCode::ok; }
  explicit operator bool() const { return ok(); }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::ok;
  std::string message_;
};

namespace detail {
inline std::string to_text(std::string_view v) { return std::string(v); }
inline std::string to_text(const char* v) { return v; }
inline std::string to_text(const std::string& v) { return v; }
template <class T>
requires requires(T v) { std::to_string(v); }
std::string to_text(T v) { return std::to_string(v); }
}  // namespace detail

/// Concatenates its arguments as text; the exception-free stand-in for fmt::format on the runtime side.
template <class... Args>
std::string text(const Args&... args) {
  std::string out;
  (out.append(detail::to_text(args)), ...);
  return out;
}

}  // namespace nnq

/// Returns Status::invalid(text(...)) from the enclosing function unless `condition` holds.
#define NNQ_REQUIRE(condition, ...)                                            \
  do {                                                                         \
    if (!(condition)) return ::nnq::Status::invalid(::nnq::text(__VA_ARGS__)); \
  } while (false)

/// Returns the Status of `expression` from the enclosing function unless it is ok.
#define NNQ_TRY(expression)                                                              \
  do {                                                                                   \
    if (::nnq::Status nnq_status_ = (expression); !nnq_status_.ok()) return nnq_status_; \
  } while (false)
