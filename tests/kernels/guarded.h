// Buffers that end where the memory ends, and the rows of a kernel table that this CPU can run.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <new>
#include <vector>

#include "kernels/cpu.h"

namespace nnq::test {

/// `count` elements whose end is the end of readable memory: one byte more is a fault.
template <class T>
class Guarded {
 public:
  explicit Guarded(std::size_t count) : count_(count) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t body = (count * sizeof(T) + page - 1) / page * page;
    bytes_ = body + page;
    void* const memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(memory);
    if (mprotect(base_ + body, page, PROT_NONE) != 0) throw std::bad_alloc();
    data_ = reinterpret_cast<T*>(base_ + body - count * sizeof(T));
  }
  ~Guarded() { munmap(base_, bytes_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return data_; }
  T& operator[](std::int64_t i) { return data_[i]; }
  std::int64_t size() const { return static_cast<std::int64_t>(count_); }

 private:
  std::size_t count_ = 0, bytes_ = 0;
  std::byte* base_ = nullptr;
  T* data_ = nullptr;
};

/// Rows of a table that the CPU has; names the others.
template <class Row>
std::vector<Row> rows_of(const Row* (*table)(std::size_t&)) {
  std::size_t count = 0;
  const Row* all = table(count);
  std::vector<Row> rows;
  for (std::size_t i = 0; i < count; ++i) {
    if (all[i].isa <= hardware_isa())
      rows.push_back(all[i]);
    else
      std::cout << "skipped: the CPU lacks " << name_of(all[i].isa) << "\n";
  }
  return rows;
}

}  // namespace nnq::test
