#include "cli/kernel_benchmark.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "cli/table.h"
#include "cli/verb.h"
#include "core/random.h"
#include "kernels/gemm/gemm.h"

namespace nnq::cli {
namespace {

struct Size {
  const char* what;
  std::int64_t rows, k, outputs;
};
/// Layers of CIFAR networks as matrix products: positions x kernel elements x channels.
constexpr Size sizes[] = {{"3x3, 64 to 64, 16x16", 256, 576, 64},
                          {"3x3, 256 to 256, 8x8", 64, 2304, 256},
                          {"fully connected, 1024", 1, 1024, 1024}};

/// Memory aligned to 64 bytes and filled with random bytes; kernels may read a vector beyond what they use.
template <class T>
class Buffer {
 public:
  Buffer(std::int64_t count, std::uint64_t seed) : words_(static_cast<std::size_t>(count) * sizeof(T) / 8 + 32) {
    Random random(seed);
    for (std::uint64_t& w : words_) w = random.next();
    void* at = words_.data();
    std::size_t space = words_.size() * 8;
    data_ = static_cast<T*>(std::align(64, static_cast<std::size_t>(count) * sizeof(T), at, space));
  }
  T* data() { return data_; }

 private:
  std::vector<std::uint64_t> words_;
  T* data_ = nullptr;
};

/// Microseconds of one call: the best of several rounds of at least a millisecond.
double microseconds(const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30;
  for (int round = 0; round < 7; ++round) {
    int calls = 0;
    const auto begin = Clock::now();
    double passed = 0;
    do {
      call();
      ++calls;
      passed = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
    } while (passed < 2000);
    best = std::min(best, passed / calls);
  }
  return best;
}

double time_int8(const GemmKernels& kernels, const Size& s) {
  const std::int64_t k4 = (s.k + 3) / 4, panels = (s.outputs + panel_width - 1) / panel_width;
  Buffer<std::uint8_t> a(s.rows * k4 * 4, 1);
  Buffer<std::int8_t> w(panels * k4 * 4 * panel_width, 2);
  Buffer<std::int32_t> sums(s.rows * panels * panel_width, 3);
  return microseconds([&] {
    kernels.int8(a.data(), static_cast<std::size_t>(k4 * 4), w.data(), s.rows, k4, panels, sums.data(),
                 panels * panel_width);
  });
}

double time_binary(const GemmKernels& kernels, const Size& s) {
  const std::int64_t k32 = (s.k + 31) / 32, panels = (s.outputs + panel_width - 1) / panel_width;
  Buffer<std::uint32_t> a(s.rows * k32, 1);
  Buffer<std::uint32_t> w(panels * k32 * panel_width, 2);
  Buffer<std::int32_t> sums(s.rows * panels * panel_width, 3);
  return microseconds([&] {
    kernels.binary(a.data(), static_cast<std::size_t>(k32), w.data(), s.rows, k32, panels, sums.data(),
                   panels * panel_width);
  });
}

double time_float(const GemmKernels& kernels, const Size& s) {
  // One operand comes in panels of 16: positions, or the weights where there are fewer positions than that.
  const bool turned = s.rows < panel_width;
  const std::int64_t outputs = turned ? s.rows : s.outputs, columns = turned ? s.outputs : s.rows;
  const std::int64_t panels = (columns + panel_width - 1) / panel_width;
  // Random bytes would hold NaNs and subnormals, which take longer.
  const std::vector<float> w(static_cast<std::size_t>(outputs * s.k), 0.25F);
  const std::vector<float> right(static_cast<std::size_t>(panels * s.k * panel_width), 0.5F);
  const std::vector<float> bias(static_cast<std::size_t>(outputs), 1.0F);
  std::vector<float> c(static_cast<std::size_t>(outputs * panels * panel_width));
  return microseconds([&] {
    for (std::int64_t p = 0; p < panels; ++p)
      kernels.real(w.data(), outputs, s.k, right.data() + p * s.k * panel_width, bias.data(),
                   c.data() + p * panel_width, panels * panel_width);
  });
}

}  // namespace

int benchmark_kernels(bool json, nlohmann::ordered_json& document) {
  std::size_t count = 0;
  const GemmKernels* table = gemm_table(count);
  Table shown({{"shape"}, {"kernel"}, {"instruction set"}, {"µs", Table::Align::right}, {"GOPS", Table::Align::right}});
  document["threads"] = 1;
  document["isa"] = name_of(active_isa());
  document["kernels"] = nlohmann::ordered_json::array();
  document["skipped"] = nlohmann::ordered_json::array();
  for (const Size& size : sizes) {
    const double operations = 2.0 * static_cast<double>(size.rows * size.k * size.outputs);
    for (std::size_t i = 0; i < count; ++i) {
      const GemmKernels& row = table[i];
      if (row.isa > active_isa()) continue;
      const std::pair<const char*, double> timed[] = {{row.int8_name, time_int8(row, size)},
                                                      {row.binary_name, time_binary(row, size)},
                                                      {row.float_name, time_float(row, size)}};
      for (const auto& [name, us] : timed) {
        document["kernels"].push_back({{"shape", size.what},
                                       {"kernel", name},
                                       {"isa", name_of(row.isa)},
                                       {"us", us},
                                       {"gops", operations / us / 1e3}});
        shown.row({size.what, name, name_of(row.isa), fixed(us, 1), fixed(operations / us / 1e3, 1)});
      }
    }
    shown.rule();
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (table[i].isa <= active_isa()) continue;
    const bool held = table[i].isa <= hardware_isa();
    document["skipped"].push_back(
        {{"isa", name_of(table[i].isa)}, {"reason", held ? "NNQ_ISA holds it down" : "this CPU does not have it"}});
  }
  if (json) return done;
  fmt::print("{}\none thread, best of 7 rounds; 2 operations a multiply-accumulate\n", shown.text());
  for (const auto& skipped : document["skipped"])
    fmt::print("skipped {}: {}\n", skipped["isa"].get<std::string>(), skipped["reason"].get<std::string>());
  return done;
}

}  // namespace nnq::cli
