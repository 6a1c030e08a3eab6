#include "runtime/autotune.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#if defined(__x86_64__)
#include <cpuid.h>
#else
#include <fstream>
#endif

#include "core/atomic_file.h"
#include "nnq/version.h"

namespace nnq {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t most_bytes = std::size_t{16} << 20;  // of a cache file: anything larger is not ours

/// First line of the cache: another version of nnq has other kernels.
std::string title() { return text("nnq autotune 1, nnq ", version(), ", ", cpu_model()); }

/// Empty when there is no folder for it.
std::string cache_file() {
  const std::string folder = cache_folder();
  if (folder.empty()) return {};
  std::string name = cpu_model();
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain) c = '_';
  }
  return folder + "/autotune-" + name + ".txt";
}

/// Memory lent to the slots of one step while it is timed.
class Loan {
 public:
  ~Loan() {
    for (Slot* slot : slots_) slot->data = nullptr;
  }
  void lend(Slot& slot) {
    if (slot.data != nullptr || slot.bytes == 0) return;
    slot.data = take(slot.bytes);
    slots_.push_back(&slot);
  }
  std::byte* take(std::size_t bytes) {
    memory_.emplace_back().assign(bytes);
    return reinterpret_cast<std::byte*>(memory_.back().data());
  }

 private:
  std::vector<AlignedBytes> memory_;
  std::vector<Slot*> slots_;
};

}  // namespace

std::string cpu_model() {
#if defined(__x86_64__)
  unsigned part[13] = {};
  bool known = static_cast<unsigned>(__get_cpuid_max(0x80000000U, nullptr)) >= 0x80000004U;
  for (unsigned i = 0; known && i < 3; ++i) {
    unsigned* p = part + 4 * i;
    known = __get_cpuid(0x80000002U + i, p, p + 1, p + 2, p + 3) != 0;
  }
  std::string model = known ? reinterpret_cast<const char*>(part) : "";
#else
  std::string model, line;
  std::ifstream in("/proc/cpuinfo");
  while (std::getline(in, line)) {
    if (line.starts_with("CPU implementer") || line.starts_with("CPU part") || line.starts_with("model name"))
      model += line.substr(std::min(line.size(), line.find(':') + 1));
    if (line.empty()) break;  // the first core speaks for all
  }
#endif
  while (!model.empty() && model.back() == ' ') model.pop_back();
  model.erase(0, std::min(model.find_first_not_of(' '), model.size()));
  return model.empty() ? "unknown" : model;
}

Tuner::Tuner(int threads, std::size_t memory_cap)
    : threads_(threads), memory_cap_(memory_cap), file_(cache_file()), pool_(threads) {
  if (file_.empty()) {
    notes.emplace_back("autotune: neither XDG_CACHE_HOME nor HOME is set: what is measured is not kept");
    return;
  }
  std::error_code none;
  if (!std::filesystem::exists(file_, none)) return;
  std::vector<std::byte> bytes;
  Status status = try_read_file(file_, most_bytes, bytes);
  if (status.ok()) status = read({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (status.ok()) return;
  layers_.clear();
  notes.push_back(text("autotune: the cache ", file_, " is ignored: ", status.message()));
}

/// Lines of a layer and its candidates with their times in nanoseconds: "layer<TAB>candidate=12500<TAB>...". The last
/// line says how many there are.
Status Tuner::read(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  NNQ_REQUIRE(!lines.empty() && lines[0] == title(), "it is not of this version of nnq and this CPU");
  NNQ_REQUIRE(lines.back() == nnq::text("end ", lines.size() - 2), "it is cut short");
  for (std::size_t i = 1; i + 1 < lines.size(); ++i) {
    const std::string& line = lines[i];
    std::size_t tab = line.find('\t');
    NNQ_REQUIRE(tab != std::string::npos && tab > 0, "line ", i + 1, " is not a layer");
    Times& times = layers_[line.substr(0, tab)];
    while (tab < line.size()) {
      const std::size_t end = std::min(line.find('\t', tab + 1), line.size()), equals = line.rfind('=', end - 1);
      NNQ_REQUIRE(equals != std::string::npos && equals > tab + 1, "line ", i + 1, " is not a time");
      std::int64_t value = 0;
      const auto [stop, error] = std::from_chars(line.data() + equals + 1, line.data() + end, value);
      NNQ_REQUIRE(error == std::errc() && stop == line.data() + end && value >= 0, "line ", i + 1, " is not a time");
      times.emplace_back(line.substr(tab + 1, equals - tab - 1), static_cast<double>(value) / 1e3);
      tab = end;
    }
  }
  return {};
}

void Tuner::save() {
  if (!changed_ || file_.empty()) return;
  std::string all = title() + "\n";
  for (const auto& [layer, times] : layers_) {
    all += layer;
    for (const auto& [name, value] : times) all += text("\t", name, "=", static_cast<std::int64_t>(value * 1e3));
    all += "\n";
  }
  all += text("end ", layers_.size(), "\n");
  const Status status = try_write_file_atomically(file_, std::as_bytes(std::span<const char>(all.data(), all.size())));
  if (!status.ok()) notes.push_back(text("autotune: the cache could not be written: ", status.message()));
  changed_ = false;
}

double Tuner::time(const PlanContext& plan, const Step& step, PreparedStep& prepared) {
  std::size_t bytes = prepared.scratch_bytes;
  for (const auto* list : {&step.inputs, &step.outputs}) {
    for (const std::int32_t v : *list) bytes += v >= 0 ? plan.slot(v).bytes : 0;
  }
  if (memory_cap_ > 0 && bytes > memory_cap_) return -1;
  Loan loan;
  for (const auto* list : {&step.inputs, &step.outputs}) {
    for (const std::int32_t v : *list) {
      if (v >= 0) loan.lend(plan.slot(v));
    }
  }
  prepared.scratch = loan.take(prepared.scratch_bytes);
  double best = -1;
  const auto begin = Clock::now();
  for (int i = 0; i < 50; ++i) {
    const auto start = Clock::now();
    if (!prepared.run(pool_).ok()) return -1;
    const auto end = Clock::now();
    const double passed = std::chrono::duration<double, std::micro>(end - start).count();
    if (i > 0) best = best < 0 ? passed : std::min(best, passed);  // the first one touches memory and fills caches
    if (i >= 3 && end - begin > std::chrono::milliseconds(10)) break;
  }
  return best;
}

std::size_t Tuner::fastest(const std::string& layer, const std::vector<std::string>& candidates,
                           const PlanContext& plan, const Step& step,
                           const std::function<std::unique_ptr<PreparedStep>(std::size_t)>& make,
                           std::vector<double>& microseconds) {
  const std::string key = text(layer, ", ", name_of(plan.isa), ", threads ", threads_);
  Times& known = layers_[key];
  const auto same = [&] {
    return std::equal(known.begin(), known.end(), candidates.begin(), candidates.end(),
                      [](const auto& a, const std::string& b) { return a.first == b; });
  };
  if (!same()) {
    known.clear();
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const std::unique_ptr<PreparedStep> prepared = make(i);
      const double best = time(plan, step, *prepared);
      if (best < 0) {
        layers_.erase(key);
        return 0;
      }
      known.emplace_back(candidates[i], best);
    }
    changed_ = true;
  }
  std::size_t best = 0;
  microseconds.clear();
  for (std::size_t i = 0; i < known.size(); ++i) {
    microseconds.push_back(known[i].second);
    if (known[i].second < known[best].second) best = i;
  }
  return best;
}

}  // namespace nnq
