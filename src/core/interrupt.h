// Ctrl-C and SIGTERM as a flag that long work looks at, so that it can checkpoint and stop.
#pragma once

namespace nnq {

/// While one lives, SIGINT and SIGTERM set a flag instead of ending the process; a second Ctrl-C ends it at once.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

/// Whether a signal came since the outermost guard was made.
bool interrupted();

}  // namespace nnq
