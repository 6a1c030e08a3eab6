#include "cli/kernel_benchmark.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "cli/table.h"
#include "cli/verb.h"
#include "core/random.h"
#include "kernels/ceilings.h"
#include "kernels/direct/direct.h"
#include "kernels/gemm/gemm.h"
#include "kernels/planes/planes.h"
#include "kernels/winograd/winograd.h"

namespace nnq::cli {
namespace {

struct Size {
  const char* what;
  std::int64_t rows, k, outputs;
};
/// Layers of CIFAR networks as matrix products: positions x kernel elements x channels.
constexpr Size sizes[] = {{"3x3, 64 to 64, 16x16", 256, 576, 64},
                          {"3x3, 256 to 256, 8x8", 64, 2304, 256},
                          {"fully connected, 1024", 1, 1024, 1024},
                          {"1024 x 1024 x 1024", 1024, 1024, 1024}};

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

/// Which operands a direct kernel is timed on.
struct Form {
  std::int64_t row_bytes, unit, unit_bytes, panel;  // bytes of a row; unit: of a kernel step; unit_bytes: its weights
};

double time_direct(DirectKernel kernel, const Size& s, const Form& form, const LookupTables* lookup) {
  constexpr std::int64_t block = 48;  // rows a layer hands over at once
  const std::int64_t steps = (form.row_bytes + form.unit - 1) / form.unit, bytes = steps * form.unit,
                     panels = (s.outputs + form.panel - 1) / form.panel, stride = panels * form.panel;
  Buffer<std::uint8_t> a(s.rows * bytes, 1), w(panels * steps * form.unit_bytes, 2);
  Buffer<std::int32_t> sums(s.rows * stride, 3);
  for (std::int64_t i = 0; lookup != nullptr && i < panels * steps * form.unit_bytes; ++i) w.data()[i] &= 15;
  const std::vector<std::int32_t> start(static_cast<std::size_t>(stride), 0);
  std::vector<std::int64_t> offsets;
  for (std::int64_t k = 0; k < steps; ++k) offsets.push_back(k * form.unit);
  std::vector<DirectRow> rows;
  for (std::int64_t r = 0; r < s.rows; ++r) rows.push_back({a.data() + r * bytes, start.data()});
  return microseconds([&] {
    for (std::int64_t r = 0; r < s.rows; r += block)
      kernel({rows.data() + r, std::min(block, s.rows - r), offsets.data(), steps, w.data(), panels,
              sums.data() + r * stride, stride, /*narrow_steps=*/64, lookup});
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
    kernels.real({.w = w.data(),
                  .row = s.k,
                  .outputs = outputs,
                  .k = s.k,
                  .panels = right.data(),
                  .panel_count = panels,
                  .columns = panel_width,
                  .bias = bias.data(),
                  .add = false,
                  .c = c.data(),
                  .stride = panels * panel_width});
  });
}

/// A 3 x 3 layer of stride 1: its tiles transformed and multiplied, in blocks as a layer cuts them. run: narrow codes.
double time_winograd(const WinogradKernels& kernels, const Size& s, std::int64_t run) {
  constexpr std::int64_t block = 24;
  const WinogradForm& form = kernels.form;
  const std::int64_t channels = s.k / 9, tiles = s.rows / 4, panels = (s.outputs + winograd_panel - 1) / winograd_panel,
                     stride = panels * winograd_panel;
  Buffer<std::uint8_t> codes(16 * channels, 1), weights(panels * form.panel(channels), 2);
  Buffer<std::byte> v(16 * form.plane(block, channels), 3);
  Buffer<std::int32_t> sums(4 * block * stride, 4);
  Buffer<std::byte> room(winograd_room(block), 5);
  const std::vector<std::int32_t> start(static_cast<std::size_t>(stride), 0),
      too_much(static_cast<std::size_t>(4 * stride), 0);
  const std::vector<const std::int32_t*> starts(4 * block, start.data());
  const std::uint8_t* pixels[16];
  for (std::int64_t i = 0; i < 16; ++i) pixels[i] = codes.data() + i * channels;
  return microseconds([&] {
    for (std::int64_t first = 0; first < tiles; first += block) {
      WinogradCall call{.v = v.data(), .channels = channels, .tiles = std::min(block, tiles - first)};
      call.starts = starts.data(), call.sums = sums.data(), call.stride = stride, call.room = room.data();
      call.too_much = too_much.data(), call.run = run;
      for (std::int64_t i = 0; i < call.tiles; ++i)
        kernels.input(pixels, channels, 15, v.data() + i * form.row(channels), form.plane(call.tiles, channels));
      for (std::int64_t panel = 0; panel < panels; ++panel) {
        call.weights = weights.data() + panel * form.panel(channels);
        call.column = panel * winograd_panel;
        winograd_products(kernels, call);
      }
    }
  });
}

/// Counts of common bits of every pair of planes, a row at a time, as layers of real-valued planes run them.
double time_planes(const PlaneKernel& kernel, const Size& s, int weight_planes, int code_planes) {
  const std::int64_t words = (s.k + 63) / 64, panels = (s.outputs + plane_panel - 1) / plane_panel,
                     stride = panels * plane_panel;
  Buffer<std::uint64_t> codes(s.rows * code_planes * words, 1),
      weights(panels * weight_planes * words * plane_panel, 2);
  Buffer<std::int32_t> counts(stride * weight_planes * code_planes, 3);
  return microseconds([&] {
    for (std::int64_t r = 0; r < s.rows; ++r)
      kernel.counts(codes.data() + r * code_planes * words, code_planes, weights.data(), weight_planes, words, panels,
                    counts.data(), stride);
  });
}

/// A lookup kernel on every precision it serves.
template <class F>
void time_lookups(const LookupKernel& kernel, const Size& s, F&& report) {
  Buffer<std::uint8_t> tables(256 * 2 * 16, 1);  // aligned, as layers have them
  std::fill_n(tables.data(), 256 * 2 * 16, std::uint8_t{1});
  const auto time = [&](const char* bits, std::int64_t row_bytes, int lookups, const LookupTables& entries,
                        double share) {
    report(fmt::format("{} {}", bits, kernel.name).c_str(), kernel.isa, CeilingKind::lookup,
           time_direct(kernel.kernel, s, {row_bytes, 2, lookups * kernel.panel, kernel.panel}, &entries), share);
  };
  // Entries of at most 27 (three products of two bits), 4 (binary), 24 (one bit times two) and 18 (two of two times
  // two): how often bytes are widened.
  if (kernel.form == LookupForm::triples) {
    time("w2a2", (s.k + 3) / 4, 3, {tables.data(), 3, 0, 3, 807}, 2.0 / 3);
    return;
  }
  time("w1a2", (s.k + 3) / 4, 2, {tables.data(), 1, 0, 5, 1365}, 1);
  if (kernel.most_lookups < 2) return;
  time("w1a1", (s.k + 7) / 8, 4, {tables.data(), 2, 1, 15, 4095}, kernel.pairs ? pair_share : 1);
  time("w2a2", (s.k + 3) / 4, 4, {tables.data(), 2, 0, 3, 909}, 0.5);
}

/// Times every kernel that the active instruction set allows; calls report(name, isa, ceiling's kind, microseconds).
template <class F>
void time_size(const Size& s, F&& report) {
  std::size_t count = 0;
  const DirectKernels* direct = direct_table(count);
  for (std::size_t i = 0; i < count; ++i) {
    const DirectKernels& row = direct[i];
    if (row.isa > active_isa()) continue;
    report(row.int8_name, row.isa, CeilingKind::int8, time_direct(row.int8, s, {s.k, 4, 64, direct_panel}, nullptr));
    if (row.narrow != nullptr)
      report(row.narrow_name, row.isa, CeilingKind::narrow,
             time_direct(row.narrow, s, {s.k, 4, 64, direct_panel}, nullptr));
    if (!row.lookup_binary)
      report(row.binary_name, row.isa, CeilingKind::binary,
             time_direct(row.binary, s, {(s.k + 7) / 8, 4, 64, direct_panel}, nullptr));
  }
  for (const LookupKernel& kernel : lookup_kernels(active_isa())) time_lookups(kernel, s, report);
  const WinogradKernels* winograd = winograd_table(count);
  for (std::size_t i = 0; i < count && std::string_view(s.what).starts_with("3x3"); ++i) {
    if (winograd[i].isa > active_isa()) continue;
    const CeilingKind ceiling = winograd[i].form.narrow() ? CeilingKind::narrow : CeilingKind::int8;
    // 16 products for 36. Narrow: as W4A4 and W2A2 let products meet.
    if (!winograd[i].form.narrow())
      report(winograd[i].name, winograd[i].isa, ceiling, time_winograd(winograd[i], s, 0), 36.0 / 16);
    for (const int bits : {4, 2}) {
      if (!winograd[i].form.narrow()) continue;
      const std::int64_t run = winograd_run(1 << (bits - 1), (1 << bits) - 1);
      report(fmt::format("{}, w{}a{}", winograd[i].name, bits, bits).c_str(), winograd[i].isa, ceiling,
             time_winograd(winograd[i], s, run), 36.0 / 16);
    }
  }
  const PlaneKernel* planes = plane_table(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (planes[i].isa > active_isa()) continue;
    for (const int bits : {1, 2}) {  // a binary product for every pair of planes
      const std::string name = fmt::format("{}, {} x {} planes", planes[i].name, bits, bits);
      report(name.c_str(), planes[i].isa, CeilingKind::binary, time_planes(planes[i], s, bits, bits),
             /*share=*/1.0 / (bits * bits));
    }
  }
  const GemmKernels* products = gemm_table(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (products[i].isa <= active_isa())
      report(products[i].float_name, products[i].isa, CeilingKind::real, time_float(products[i], s));
  }
}

}  // namespace

nlohmann::ordered_json described(const std::vector<Ceiling>& ceilings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Ceiling& c : ceilings)
    list.push_back({{"name", c.name}, {"unit", c.unit}, {"value", c.value}, {"isa", name_of(c.isa)}});
  return list;
}

int benchmark_kernels(bool json, nlohmann::ordered_json& document) {
  const std::vector<Ceiling> ceilings = measure_ceilings(active_isa());
  const auto ceiling = [&](CeilingKind kind, Isa isa) {
    for (const Ceiling& c : ceilings) {
      if (c.kind == kind && c.isa == isa) return c.value;
    }
    return 0.0;
  };
  constexpr auto right = Table::Align::right;
  Table shown({{"shape"}, {"kernel"}, {"instruction set"}, {"µs", right}, {"GOP/s", right}, {"% of ceiling", right}});
  document["threads"] = 1;
  document["isa"] = name_of(active_isa());
  document["ceilings"] = described(ceilings);
  Table limits({{"ceiling, this run"}, {"", right}, {""}});
  for (const Ceiling& c : ceilings) limits.row({c.name, fixed(c.value, 1), c.unit});
  document["kernels"] = nlohmann::ordered_json::array();
  document["skipped"] = nlohmann::ordered_json::array();
  for (const Size& size : sizes) {
    const double operations = 2.0 * static_cast<double>(size.rows * size.k * size.outputs);
    // share: of the ceiling's operations that the kernel's instructions do.
    const auto report = [&](const char* name, Isa isa, CeilingKind kind, double us, double share = 1) {
      const double gops = operations / us / 1e3, limit = ceiling(kind, isa) * share;
      document["kernels"].push_back(
          {{"shape", size.what}, {"kernel", name}, {"isa", name_of(isa)}, {"us", us}, {"gops", gops}});
      if (limit > 0) document["kernels"].back()["ceiling_percent"] = 100 * gops / limit;
      shown.row(
          {size.what, name, name_of(isa), fixed(us, 1), fixed(gops, 1), limit > 0 ? fixed(100 * gops / limit, 0) : ""});
    };
    time_size(size, report);
    shown.rule();
  }
  std::size_t count = 0;
  const DirectKernels* table = direct_table(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (table[i].isa <= active_isa()) continue;
    const bool held = table[i].isa <= hardware_isa();
    document["skipped"].push_back(
        {{"isa", name_of(table[i].isa)}, {"reason", held ? "NNQ_ISA holds it down" : "this CPU does not have it"}});
  }
  if (json) return done;
  fmt::print("{}\n{}\none thread, best of 7 rounds; 2 operations a multiply-accumulate\n", limits.text(), shown.text());
  for (const auto& skipped : document["skipped"])
    fmt::print("skipped {}: {}\n", skipped["isa"].get<std::string>(), skipped["reason"].get<std::string>());
  return done;
}

}  // namespace nnq::cli
