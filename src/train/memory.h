// Keeps freed tensor memory in the process.
#pragma once

namespace nnq::train {

/// glibc hands every freed block of 128 KB or more back to the system, so that each activation of each step is
/// page-faulted in anew: 8 % of a quantized ResNet-20 step (bench_train_throughput). Called once by the executor; later
/// calls do nothing.
void keep_freed_memory();

}  // namespace nnq::train
