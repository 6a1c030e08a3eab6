// The error regime of the runtime side: functions that can fail return a Status, nothing throws.
// (The compile-time side, graph to command line, throws nnq::Error: see error.h and docs/adr/0003-error-regimes.md.)
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
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

/// One argument of text(): a view of a string, or a number. Lives only as long as the call.
class Piece {
 public:
  Piece(const char* v) : text_(v) {}         // NOLINT(google-explicit-constructor): arguments of text() read as values
  Piece(std::string_view v) : text_(v) {}    // NOLINT(google-explicit-constructor)
  Piece(const std::string& v) : text_(v) {}  // NOLINT(google-explicit-constructor)
  template <std::integral T>
  Piece(T v)  // NOLINT(google-explicit-constructor)
      : kind_(std::is_signed_v<T> ? Kind::integer : Kind::natural), integer_(static_cast<std::int64_t>(v)) {}
  template <std::floating_point T>
  Piece(T v) : kind_(Kind::real), real_(static_cast<double>(v)) {}  // NOLINT(google-explicit-constructor)
  void append_to(std::string& out) const;

 private:
  enum class Kind : std::uint8_t { text, integer, natural, real };
  Kind kind_ = Kind::text;
  std::int64_t integer_ = 0;
  double real_ = 0;
  std::string_view text_;
};

/// Out of line, because hundreds of checks use them and hardly ever fail: the runtime stays small.
std::string join(std::initializer_list<Piece> pieces);
Status invalid(std::initializer_list<Piece> pieces);

}  // namespace detail

/// Concatenates its arguments (strings and numbers) as text; the exception-free stand-in for fmt::format.
template <class... Args>
std::string text(const Args&... args) {
  return detail::join({detail::Piece(args)...});
}

}  // namespace nnq

/// Returns Status::invalid(text(...)) from the enclosing function unless `condition` holds.
#define NNQ_REQUIRE(condition, ...)                                 \
  do {                                                              \
    if (!(condition)) return ::nnq::detail::invalid({__VA_ARGS__}); \
  } while (false)

/// Returns the Status of `expression` from the enclosing function unless it is ok.
#define NNQ_TRY(expression)                                                              \
  do {                                                                                   \
    if (::nnq::Status nnq_status_ = (expression); !nnq_status_.ok()) return nnq_status_; \
  } while (false)
