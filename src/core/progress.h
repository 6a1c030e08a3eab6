// Long work shows where it is: a bar with ETA on a terminal, plain lines in a log. Always on stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace nnq {

class Progress {
 public:
  using Clock = std::chrono::steady_clock;
  using Now = Clock::time_point (*)();
  /// `total` units of work; nothing is shown for work that ends within a second. Tests pass a clock of their own.
  Progress(std::string title, std::int64_t total, Now now = Clock::now);
  ~Progress();  // clears the bar
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `note` is shown behind the bar, e.g. "loss 0.412".
  void advance(std::int64_t units, const std::string& note = {});
  /// NNQ_QUIET=1 in the environment silences all progress.
  static bool quiet();

 private:
  void show(const std::string& note, bool last);

  Now now_;
  std::string title_;
  std::int64_t total_, done_ = 0;
  Clock::time_point start_, shown_;
  bool terminal_, visible_ = false;
};

/// "4 s", "2 min 05 s", "1 h 12 min"
std::string duration_text(double seconds);

}  // namespace nnq
