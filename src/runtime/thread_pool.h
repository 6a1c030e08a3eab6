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

  // Between rounds remaining_ is 0. All atomics are sequentially consistent: "there is work" against "somebody sleeps",
  // and "all is done" against "somebody waits", must not both be missed.
  std::atomic<std::int64_t> remaining_{0};  // parts not yet taken
  std::atomic<std::int64_t> done_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> waiting_{false}, stop_{false};
  Body body_ = nullptr;
  void* context_ = nullptr;
  std::int64_t parts_ = 0;
  int spins_;
  std::mutex mutex_;
  std::condition_variable start_, finished_;
  std::vector<std::thread> workers_;
};

}  // namespace nnq
