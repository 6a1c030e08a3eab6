#include "core/interrupt.h"

#include <csignal>

namespace nnq {
namespace {

volatile std::sig_atomic_t flag = 0;
int depth = 0;
struct sigaction old_interrupt, old_terminate;

extern "C" void nnq_on_signal(int signal) {
  if (flag != 0) {  // asked twice: give in
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  flag = 1;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (depth++ > 0) return;
  flag = 0;
  struct sigaction action {};
  action.sa_handler = nnq_on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &old_interrupt);
  sigaction(SIGTERM, &action, &old_terminate);
}

InterruptGuard::~InterruptGuard() {
  if (--depth > 0) return;
  sigaction(SIGINT, &old_interrupt, nullptr);
  sigaction(SIGTERM, &old_terminate, nullptr);
}

bool interrupted() { return flag != 0; }

}  // namespace nnq
