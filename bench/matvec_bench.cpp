// Matrix-vector products with packed weights beside what they can be compared with, interleaved in one run: reading the
// same bytes (the ceiling of the memory they lie in), OpenBLAS's sgemv where the library is there, nnq's float layer.
//   taskset -c 1 build/release/bin/bench_matvec [rounds]
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "core/random.h"
#include "kernels/aligned.h"
#include "kernels/gemm/gemm.h"
#include "kernels/matvec/matvec.h"
#include "kernels/planes/planes.h"
#include "timing.h"

namespace {

using nnq::AlignedBytes;
using namespace nnq::bench;

/// One contestant: its best time over all rounds.
struct Entry {
  std::string name;
  std::function<void()> call;
  double bytes;  // of weights
  double best = 1e30;
};

/// Sum of all bytes' words: as fast as memory gives them.
__attribute__((target_clones("avx2", "default"), optimize("O3"))) std::uint64_t read_all(const std::uint8_t* data,
                                                                                         std::int64_t bytes) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(data);
  std::uint64_t sum[16] = {};
  for (std::int64_t i = 0; i + 16 <= bytes / 8; i += 16)
    for (int k = 0; k < 16; ++k) sum[k] ^= words[i + k];
  std::uint64_t all = 0;
  for (const std::uint64_t s : sum) all ^= s;
  return all;
}

volatile std::uint64_t sink;

/// Everything of one shape.
class Shape {
 public:
  Shape(std::int64_t outputs, std::int64_t inputs, Sgemv sgemv) : outputs_(outputs), inputs_(inputs) {
    nnq::Random random(1);
    const auto count = static_cast<std::size_t>(outputs * inputs);
    floats_.resize(count);
    for (float& f : floats_) f = random.uniform(-1, 1);
    x_.assign(static_cast<std::size_t>(inputs), 0.5F);
    y_.assign(static_cast<std::size_t>(outputs), 0);
    sums_.assign(static_cast<std::size_t>(outputs) * 64, 0);
    input_.assign(static_cast<std::size_t>((inputs + 127) / 128 * 128), 3);
    plane_row_.assign(static_cast<std::size_t>((inputs + 63) / 64) * 4, 0x1234567812345678U);
    if (sgemv != nullptr)
      add("sgemv, OpenBLAS", 4, [this, sgemv] {
        sgemv(101, 111, static_cast<int>(outputs_), static_cast<int>(inputs_), 1, floats_.data(),
              static_cast<int>(inputs_), x_.data(), 1, 0, y_.data(), 1);
      });
    add_float();
    packed_.resize(9);
    for (const int bits : {8, 4, 3, 2, 1}) add_packed(bits);
    planes_.resize(4);
    for (const int planes : {1, 2, 3}) add_planes(planes);
  }

  void round() {
    for (Entry& e : entries_) e.best = std::min(e.best, microseconds(e.call));
  }

  void print() const {
    fmt::print("\n{} x {}\n{:28} {:>10} {:>9} {:>8} {:>10} {:>10}\n", outputs_, inputs_, "", "µs", "GB/s", "% read",
               "x sgemv", "x float");
    double sgemv = 0, real = 0;
    for (const Entry& e : entries_) {
      if (e.name.starts_with("sgemv")) sgemv = e.best;
      if (e.name.starts_with("float")) real = e.best;
    }
    for (std::size_t i = 0; i < entries_.size(); i += 2) {
      const Entry &e = entries_[i], &read = entries_[i + 1];
      fmt::print("{:28} {:10.1f} {:9.1f} {:8.0f} {:10.1f} {:10.1f}\n", e.name, e.best, e.bytes / e.best / 1e3,
                 100 * read.best / e.best, sgemv > 0 ? sgemv / e.best : 0, real / e.best);
    }
  }

 private:
  /// A contestant and, behind it, reading as many bytes.
  void add(const std::string& name, double bytes_a_weight, std::function<void()> call) {
    const double bytes = bytes_a_weight * static_cast<double>(outputs_ * inputs_);
    entries_.push_back({name, std::move(call), bytes});
    const auto* data = reinterpret_cast<const std::uint8_t*>(floats_.data());
    entries_.push_back({"read", [data, bytes] { sink = read_all(data, static_cast<std::int64_t>(bytes)); }, bytes});
  }

  void add_float() {
    const nnq::GemmKernels& kernels = nnq::gemm_kernels(nnq::active_isa());
    add("float layer", 4, [this, &kernels] {
      // One row of inputs times panels of 16 outputs.
      kernels.real({.w = x_.data(),
                    .row = inputs_,
                    .outputs = 1,
                    .k = inputs_,
                    .panels = floats_.data(),
                    .panel_count = outputs_ / nnq::panel_width,
                    .columns = nnq::panel_width,
                    .bias = nullptr,
                    .add = false,
                    .c = y_.data(),
                    .stride = outputs_});
    });
  }

  void add_packed(int bits) {
    nnq::MatvecPanels& panels = packed_[static_cast<std::size_t>(bits)];
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(outputs_ * inputs_));
    nnq::Random random(2);
    for (std::uint8_t& c : codes) c = static_cast<std::uint8_t>(random.below(std::uint64_t{1} << bits));
    panels.pack(codes.data(), outputs_, inputs_, bits);
    for (const std::int64_t batch : {std::int64_t{1}, std::int64_t{8}}) {
      batch_input_.assign(static_cast<std::size_t>((inputs_ + 127) / 128 * 128 * 8), 3);
      add(fmt::format("W{}A8 batch {}", bits, batch), bits / 8.0, [this, &panels, batch] {
        nnq::matvec_kernel(nnq::active_isa())
            .run({batch_input_.data(), (inputs_ + 127) / 128 * 128, batch, panels.bits, panels.bytes.data(),
                  panels.panels, panels.blocks, sums_.data(), outputs_ + 4});
      });
    }
  }

  void add_planes(int planes) {
    const std::int64_t words = (inputs_ + 63) / 64, panels = (outputs_ + 7) / 8;
    AlignedBytes& weights = planes_[static_cast<std::size_t>(planes)];
    weights.assign(static_cast<std::size_t>(panels * planes * words * 64));
    for (std::int64_t i = 0; i < panels * planes * words * 64; ++i)
      weights.data()[i] = static_cast<std::uint8_t>(i * 37);
    add(fmt::format("{0} x {0} planes", planes), planes / 8.0, [this, &weights, planes, words, panels] {
      nnq::plane_kernel(nnq::active_isa())
          .counts(plane_row_.data(), planes, reinterpret_cast<const std::uint64_t*>(weights.data()), planes, words,
                  panels, sums_.data(), panels * 8);
    });
  }

  std::int64_t outputs_, inputs_;
  std::vector<float> floats_, x_, y_;
  std::vector<std::int8_t> input_, batch_input_;
  std::vector<std::uint64_t> plane_row_;
  std::vector<std::int32_t> sums_;
  std::vector<nnq::MatvecPanels> packed_;
  std::vector<AlignedBytes> planes_;
  std::vector<Entry> entries_;
};

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15;
  const Sgemv sgemv = find_sgemv();
  fmt::print("instruction set {}; {}; best of {} interleaved rounds, one thread\n", nnq::name_of(nnq::active_isa()),
             sgemv != nullptr ? "OpenBLAS found" : "OpenBLAS not found", rounds);
  for (const auto& [outputs, inputs] : {std::pair<std::int64_t, std::int64_t>{4096, 1024}, {4096, 4096}, {1200, 300}}) {
    Shape shape(outputs, inputs, sgemv);
    for (int r = 0; r < rounds; ++r) shape.round();
    shape.print();
  }
  return 0;
}
