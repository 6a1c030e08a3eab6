#include "cli/processes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "core/interrupt.h"
#include "core/progress.h"
#include "nnq/error.h"

extern char** environ;

namespace nnq::cli {
namespace {

namespace fs = std::filesystem;

/// The last line that is not empty; of a terminal's line that was written over, what stood last.
std::string last_line(const fs::path& log) {
  std::ifstream in(log);
  std::string last;
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) last = line;
  return last;
}

class Running {
 public:
  explicit Running(const Process& process) : process_(&process) {
    fs::create_directories(process.log.parent_path());
    std::vector<std::string> words{"nnq"};
    words.insert(words.end(), process.arguments.begin(), process.arguments.end());
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, process.log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    // A group of its own: the terminal's Ctrl-C reaches this program alone, which passes it on once.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    const int failed = posix_spawn(&pid_, "/proc/self/exe", &files, &attributes, pointers.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (failed != 0) throw Error(fmt::format("cannot be started: {}", std::strerror(failed)), process.title);
  }

  /// Whether it has ended; status is then known.
  bool ended() {
    int status = 0;
    if (pid_ > 0 && waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      status_ = status;
    }
    return pid_ < 0;
  }
  void stop() const {
    if (pid_ > 0) kill(pid_, SIGTERM);
  }
  void wait() {
    int status = 0;
    while (pid_ > 0 && waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }
  const Process& process() const { return *process_; }

  /// Throws when it did not end well.
  void check() const {
    if (WIFEXITED(status_) && WEXITSTATUS(status_) <= 1) {
      std::error_code ignored;
      fs::remove(process_->log, ignored);
      return;
    }
    const std::string line = last_line(process_->log);
    const std::string why = WIFSIGNALED(status_) ? fmt::format("was ended by signal {}", WTERMSIG(status_))
                                                 : fmt::format("ended with exit code {}", WEXITSTATUS(status_));
    throw Error(why + (line.empty() ? "" : ": " + line), process_->title, "all it said: " + process_->log.string());
  }

 private:
  const Process* process_;
  pid_t pid_ = -1;
  int status_ = 0;
};

void stop_all(std::vector<Running>& running) {
  for (const Running& r : running) r.stop();
  for (Running& r : running) r.wait();
}

}  // namespace

bool run_processes(const std::vector<Process>& processes, int at_once) {
  const InterruptGuard guard;
  Progress progress("runs", static_cast<std::int64_t>(processes.size()));
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
        progress.advance(0, running.front().process().title);
        continue;
      }
      const Running done = *ended;
      running.erase(ended);
      done.check();
      progress.advance(1, done.process().title);
    }
  } catch (...) {
    stop_all(running);
    throw;
  }
  return true;
}

}  // namespace nnq::cli
