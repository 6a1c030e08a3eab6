#include "cli/processes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "cli/verb.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

namespace fs = std::filesystem;

/// The last line that is not empty.
std::string last_line(const fs::path& log) {
  std::ifstream in(log);
  std::string last;
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) last = line;
  return last;
}

/// A process that was started. Its end is waited for by whoever holds it.
class Running {
 public:
  explicit Running(const Process& process) : process_(&process) {
    std::error_code failed;
    fs::create_directories(process.log.parent_path(), failed);
    const int log = open(process.log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (log < 0) throw Error(fmt::format("cannot be written: {}", std::strerror(errno)), process.log.string());
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    std::vector<std::string> words{"nnq"};
    words.insert(words.end(), process.arguments.begin(), process.arguments.end());
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0) become(parent, nothing, log, pointers.data());
    const int error = errno;
    close(log);
    if (nothing >= 0) close(nothing);
    if (pid_ < 0) throw Error(fmt::format("cannot be started: {}", std::strerror(error)), process.title);
  }

  /// Whether it has ended.
  bool ended() {
    int status = 0;
    const pid_t got = pid_ > 0 ? waitpid(pid_, &status, WNOHANG) : 0;
    if (got == pid_ && pid_ > 0) status_ = status;
    if (got == pid_ || (got < 0 && errno != EINTR)) pid_ = -1;
    return pid_ < 0;
  }
  void stop() const {
    if (pid_ > 0) kill(pid_, SIGTERM);
  }
  void wait() {
    while (!ended()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const Process& process() const { return *process_; }

  bool was_interrupted() const {
    return (WIFEXITED(status_) && WEXITSTATUS(status_) == stopped) ||
           (WIFSIGNALED(status_) && (WTERMSIG(status_) == SIGTERM || WTERMSIG(status_) == SIGINT));
  }
  /// Throws when it did not end well.
  void check() const {
    if (WIFEXITED(status_) && WEXITSTATUS(status_) <= not_met) {
      remove_log();
      return;
    }
    const std::string line = last_line(process_->log);
    const std::string why = WIFSIGNALED(status_) ? fmt::format("was ended by signal {}", WTERMSIG(status_))
                                                 : fmt::format("ended with exit code {}", WEXITSTATUS(status_));
    throw Error(why + (line.empty() ? "" : ": " + line), process_->title, "all it said: " + process_->log.string());
  }
  void remove_log() const {
    std::error_code ignored;
    fs::remove(process_->log, ignored);
  }

 private:
  /// The child's way into the program; only what is safe behind a fork.
  [[noreturn]] static void become(pid_t parent, int input, int output, char* const* words) {
    // A group of its own: the terminal's Ctrl-C reaches the parent alone, which passes it on once. Nobody outlives it.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent && dup2(input, 0) >= 0 && dup2(output, 1) >= 0 && dup2(output, 2) >= 0)
      execv("/proc/self/exe", words);
    _exit(own_fault);
  }

  const Process* process_;
  pid_t pid_ = -1;
  int status_ = 0;
};

void stop_all(std::vector<Running>& running) {
  for (const Running& r : running) r.stop();
  for (Running& r : running) {
    r.wait();
    r.remove_log();
  }
}

/// What a terminal shows in one line that is written over, and a log in a line for each that ended. There is no time to
/// go: runs of unlike networks say nothing of each other's.
class Shown {
 public:
  explicit Shown(std::size_t total) : total_(total) {}
  ~Shown() {
    if (terminal_ && !quiet_) fmt::print(stderr, "\r\033[K");
  }
  Shown(const Shown&) = delete;
  Shown& operator=(const Shown&) = delete;

  void ended(const Process& process) {
    ++done_;
    if (!quiet_ && !terminal_) fmt::print(stderr, "{}: {}\n", count(), process.title);
  }
  void waiting(const std::vector<Running>& running) {
    if (quiet_ || !terminal_ || Clock::now() - shown_ < std::chrono::milliseconds(500)) return;
    shown_ = Clock::now();
    std::string names;
    for (const Running& r : running)
      names += (names.empty() ? "" : ", ") + fs::path(r.process().title).filename().string();
    constexpr std::size_t most = 60;
    if (names.size() > most) names = names.substr(0, most) + "\u2026";
    fmt::print(stderr, "\r\033[K{}; running {}", count(), names);
    std::fflush(stderr);
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::string count() const {
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    return fmt::format("{} of {} runs in {}", done_, total_, duration_text(seconds));
  }

  std::size_t total_, done_ = 0;
  const bool terminal_ = isatty(STDERR_FILENO) == 1, quiet_ = Progress::quiet();
  const Clock::time_point start_ = Clock::now();
  Clock::time_point shown_ = start_;
};

}  // namespace

bool run_processes(const std::vector<Process>& processes, int at_once) {
  const InterruptGuard guard;
  Shown shown(processes.size());
  std::vector<Running> running;
  std::size_t next = 0;
  try {
    while (next < processes.size() || !running.empty()) {
      if (interrupted()) {
        stop_all(running);
        return false;
      }
      while (next < processes.size() && running.size() < static_cast<std::size_t>(at_once))
        running.emplace_back(processes[next++]);
      const auto ended = std::find_if(running.begin(), running.end(), [](Running& r) { return r.ended(); });
      if (ended == running.end()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        shown.waiting(running);
        continue;
      }
      const Running done = *ended;
      running.erase(ended);
      if (done.was_interrupted()) {
        done.remove_log();
        stop_all(running);
        return false;
      }
      done.check();
      shown.ended(done.process());
    }
  } catch (...) {
    stop_all(running);
    throw;
  }
  return true;
}

}  // namespace nnq::cli
