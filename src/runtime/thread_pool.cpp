#include "runtime/thread_pool.h"

namespace nnq {
namespace {

/// Waits a moment without giving the core away.
void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// How often to look again before going to sleep: some 20 us. The steps of a network follow each other within that, and
/// to be woken costs as much. None where threads share cores: whoever waits would hold up the one that works.
int spins_for(int threads) { return threads <= static_cast<int>(std::thread::hardware_concurrency()) ? 1500 : 0; }

}  // namespace

ThreadPool::ThreadPool(int threads) : spins_(spins_for(threads)) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  { const std::lock_guard lock(mutex_); }
  start_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::drain() {
  std::int64_t left = remaining_.load();
  while (left > 0) {
    if (!remaining_.compare_exchange_weak(left, left - 1)) continue;
    // Having taken a part, this thread knows that the round lasts until the part is done: its fields hold still.
    const std::int64_t parts = parts_;
    body_(context_, parts - left);
    if (done_.fetch_add(1) + 1 == parts && waiting_.load()) {
      const std::lock_guard lock(mutex_);
      finished_.notify_one();
    }
    left = remaining_.load();
  }
}

void ThreadPool::run(std::int64_t parts, Body body, void* context) {
  if (workers_.empty() || parts <= 1) {
    for (std::int64_t part = 0; part < parts; ++part) body(context, part);
    return;
  }
  body_ = body;
  context_ = context;
  parts_ = parts;
  done_.store(0);
  // From here on workers take parts. Exchanged, not stored: the load of sleepers_ must not pass it, and qemu lets a
  // load pass an Arm store-release.
  remaining_.exchange(parts);
  if (sleepers_.load() > 0) {
    {
      const std::lock_guard lock(mutex_);  // a worker about to sleep is asleep once this is held
    }
    start_.notify_all();
  }
  drain();
  for (int i = 0; i < spins_ && done_.load() != parts; ++i) pause();
  if (done_.load() == parts) return;
  std::unique_lock lock(mutex_);
  waiting_.exchange(true);  // likewise before the load of done_
  finished_.wait(lock, [&] { return done_.load() == parts; });
  waiting_.store(false);
}

void ThreadPool::work() {
  for (;;) {
    for (int i = 0; i < spins_ && remaining_.load() <= 0 && !stop_.load(); ++i) pause();
    if (remaining_.load() <= 0) {
      std::unique_lock lock(mutex_);
      sleepers_.fetch_add(1);
      start_.wait(lock, [this] { return stop_.load() || remaining_.load() > 0; });
      sleepers_.fetch_sub(1);
    }
    if (stop_.load()) return;
    drain();
  }
}

}  // namespace nnq
