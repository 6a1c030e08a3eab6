// A pool of threads that split a range. What is computed never depends on how the range is split.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace nnq {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  /// Calls body(context, part) for every part in 0 .. parts - 1, on this thread and the workers; returns when all are
  /// done. Allocates nothing.
  using Body = void (*)(void* context, std::int64_t part);
  void run(std::int64_t parts, Body body, void* context);

  template <class F>
  void parallel(std::int64_t parts, F&& f) {
    run(
        parts, [](void* context, std::int64_t part) { (*static_cast<F*>(context))(part); }, &f);
  }

 private:
  void work();
  void drain();

  std::mutex mutex_;
  std::condition_variable start_, finished_;
  std::vector<std::thread> workers_;
  Body body_ = nullptr;
  void* context_ = nullptr;
  std::int64_t parts_ = 0;
  std::atomic<std::int64_t> next_{0};
  std::uint64_t round_ = 0;
  int busy_ = 0;
  bool stop_ = false;
};

}  // namespace nnq
