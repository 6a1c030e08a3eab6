#include "core/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace nnq {
namespace {

constexpr int bar_cells = 24;

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

std::string two_digits(int v) { return (v < 10 ? "0" : "") + std::to_string(v); }

}  // namespace

std::string duration_text(double seconds) {
  const auto s = static_cast<long long>(seconds + 0.5);
  if (s < 60) return std::to_string(s) + " s";
  if (s < 3600) return std::to_string(s / 60) + " min " + two_digits(static_cast<int>(s % 60)) + " s";
  return std::to_string(s / 3600) + " h " + two_digits(static_cast<int>(s / 60 % 60)) + " min";
}

bool Progress::quiet() {
  const char* value = std::getenv("NNQ_QUIET");
  return value != nullptr && *value != '\0' && *value != '0';
}

Progress::Progress(std::string title, std::int64_t total, Now now)
    : now_(now),
      title_(std::move(title)),
      total_(std::max<std::int64_t>(total, 1)),
      start_(now()),
      shown_(start_),
      terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (visible_ && terminal_) std::fprintf(stderr, "\r\033[K");
}

void Progress::advance(std::int64_t units, const std::string& note) {
  done_ = std::min(done_ + units, total_);
  if (quiet()) return;
  const auto now = now_();
  // A terminal is refreshed five times a second, a log gets a line every fifteen seconds.
  const double since = seconds_between(shown_, now);
  if (seconds_between(start_, now) < 1 || since < (terminal_ ? 0.2 : 15.0)) return;
  shown_ = now;
  show(note, done_ == total_);
}

void Progress::show(const std::string& note, bool last) {
  const double elapsed = seconds_between(start_, now_());
  const double share = static_cast<double>(done_) / static_cast<double>(total_);
  const std::string left = done_ > 0 && !last ? ", " + duration_text(elapsed / share - elapsed) + " left" : "";
  const std::string tail = note.empty() ? "" : "  " + note;
  if (terminal_) {
    const int filled = static_cast<int>(share * bar_cells);
    std::string bar;
    for (int i = 0; i < bar_cells; ++i) bar += i < filled ? "━" : "┈";
    std::fprintf(stderr, "\r\033[K%s %s %3d %%%s%s", title_.c_str(), bar.c_str(), static_cast<int>(100 * share),
                 left.c_str(), tail.c_str());
  } else {
    std::fprintf(stderr, "%s: %d %%%s%s\n", title_.c_str(), static_cast<int>(100 * share), left.c_str(), tail.c_str());
  }
  std::fflush(stderr);
  visible_ = true;
}

}  // namespace nnq
