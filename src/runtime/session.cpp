// A session: the plan for the last input shapes, the thread pool, and the runs.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "core/guard.h"
#include "runtime/autotune.h"
#include "runtime/model_state.h"
#include "runtime/plan.h"
#include "runtime/shapes.h"
#include "runtime/weights_cache.h"

namespace nnq {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds(Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Holds the session for one call; a second thread finds it taken.
class Hold {
 public:
  explicit Hold(std::atomic_flag& flag) : flag_(flag), taken_(!flag.test_and_set(std::memory_order_acquire)) {}
  ~Hold() {
    if (taken_) flag_.clear(std::memory_order_release);
  }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  bool taken() const { return taken_; }

 private:
  std::atomic_flag& flag_;
  bool taken_;
};

const Status& busy() {
  static const Status status(StatusCode::busy, "the session is in use by another thread; make one session a thread");
  return status;
}

/// An instruction set that is asked for by name, by NNQ_ISA or by the model, must be there.
Status check_isa(const Program& program) {
  const char* forced = std::getenv("NNQ_ISA");
  if (forced != nullptr && forced[0] != '\0' && std::string_view(forced) != name_of(active_isa()))
    return Status::unsupported(text("NNQ_ISA=", forced, ": this CPU has no kernels of that name; the best it runs is ",
                                    name_of(hardware_isa())));
  const auto wanted = program.metadata.find("requires_isa");
  if (wanted == program.metadata.end()) return {};
  for (int i = 0; i <= static_cast<int>(active_isa()); ++i) {
    if (wanted->second == name_of(static_cast<Isa>(i))) return {};
  }
  return Status::unsupported(text("the model asks for the instruction set '", wanted->second,
                                  "' (its metadata requires_isa), this session runs ", name_of(active_isa())));
}

}  // namespace

struct Session::State {
  State(std::shared_ptr<const Model> m, const Options& o) : model(std::move(m)), options(o), pool(o.threads) {}

  /// Plans for these shapes.
  Status plan_for(const std::vector<Shape>& shapes);
  /// written, unless it is nullptr: writes the cache of weights; whether it did, so that another plan finds them there.
  Status plan_once(const std::vector<Shape>& shapes, Tuner* tuner, bool* written);
  Status prepare(std::span<const Tensor> inputs);
  Status run(std::span<const Tensor> inputs, std::vector<Tensor>& outputs, std::vector<std::vector<double>>* times);
  /// Points the slots of inputs and outputs at the caller's tensors.
  void connect(std::span<const Tensor> inputs, std::vector<Tensor>& outputs);
  void finish(std::vector<Tensor>& outputs) const;

  std::shared_ptr<const Model> model;
  Options options;
  ThreadPool pool;
  Plan plan;
  bool planned = false;
  std::vector<std::string> notes;
  std::atomic_flag in_use = ATOMIC_FLAG_INIT;
};

Status Session::State::plan_for(const std::vector<Shape>& shapes) {
  planned = false;
  notes.clear();
  return guarded("out of memory while planning", [&]() -> Status {
    std::optional<Tuner> tuner;
    if (options.autotune) tuner.emplace(options.threads, options.memory_cap);
    bool written = false;
    NNQ_TRY(plan_once(shapes, tuner ? &*tuner : nullptr, &written));
    if (written) {  // what was packed goes, back to the system, too; the file's take its place
      plan = {};
#if defined(__GLIBC__)
      malloc_trim(0);
#endif
      NNQ_TRY(plan_once(shapes, tuner ? &*tuner : nullptr, nullptr));
    }
    if (tuner) {
      tuner->save();
      notes.insert(notes.end(), tuner->notes.begin(), tuner->notes.end());
    }
    planned = true;
    return {};
  });
}

Status Session::State::plan_once(const std::vector<Shape>& shapes, Tuner* tuner, bool* written) {
  Model::State& m = *model->state_;
  std::optional<WeightsCache> cache;
  if (!options.weights_cache.empty())
    cache.emplace(options.weights_cache, CachedModel{m.content(), m.image, m.private_copy});
  NNQ_TRY(make_plan(m.program, m.weights, shapes,
                    {options.threads, options.memory_cap, tuner, cache ? &*cache : nullptr}, plan));
  if (!cache) return {};
  if (written != nullptr) *written = cache->save();
  notes.insert(notes.end(), cache->notes.begin(), cache->notes.end());
  return {};
}

Status Session::State::prepare(std::span<const Tensor> inputs) {
  const Program& program = model->program();
  NNQ_REQUIRE(inputs.size() == program.inputs.size(), "the model has ", program.inputs.size(), " inputs, got ",
              inputs.size());
  bool same = planned;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const ProgramValue& declared = program.values[static_cast<std::size_t>(program.inputs[i])];
    NNQ_REQUIRE(inputs[i].defined(), "input '", declared.name, "' is not given");
    NNQ_REQUIRE(inputs[i].dtype() == declared.type.dtype, "input '", declared.name, "' is ",
                name_of(declared.type.dtype), ", got ", name_of(inputs[i].dtype()));
    same = same && inputs[i].shape() == plan.input_shapes[i];
  }
  if (same) return {};
  std::vector<Shape> shapes;
  for (const Tensor& t : inputs) shapes.push_back(t.shape());
  return plan_for(shapes);
}

void Session::State::connect(std::span<const Tensor> inputs, std::vector<Tensor>& outputs) {
  const Program& program = model->program();
  for (std::size_t i = 0; i < inputs.size(); ++i)
    plan.slots[static_cast<std::size_t>(program.inputs[i])].data = const_cast<std::byte*>(inputs[i].data());
  outputs.resize(program.outputs.size());
  for (std::size_t i = outputs.size(); i-- > 0;) {  // backwards: of a value named twice the first place is the real one
    Slot& slot = plan.slots[static_cast<std::size_t>(program.outputs[i])];
    Tensor& out = outputs[i];
    if (!out.defined() || out.dtype() != slot.dtype || out.shape() != slot.shape) out = Tensor(slot.dtype, slot.shape);
    std::byte* memory = out.mutable_data();
    const bool is_input =
        std::find(program.inputs.begin(), program.inputs.end(), program.outputs[i]) != program.inputs.end();
    if (slot.constant == nullptr && !is_input) slot.data = memory;
  }
}

void Session::State::finish(std::vector<Tensor>& outputs) const {
  const Program& program = model->program();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Slot& slot = plan.slots[static_cast<std::size_t>(program.outputs[i])];
    std::byte* memory = outputs[i].mutable_data();
    if (slot.data != memory && slot.bytes > 0) std::memcpy(memory, slot.data, slot.bytes);
  }
}

Status Session::State::run(std::span<const Tensor> inputs, std::vector<Tensor>& outputs,
                           std::vector<std::vector<double>>* times) {
  NNQ_TRY(prepare(inputs));
  if (plan.interpreted) return interpret_program(model->program(), inputs, outputs);
  for (const Tensor& t : outputs) {
    // An output tensor that shares memory with an input would be overwritten while it is read.
    for (const Tensor& in : inputs)
      NNQ_REQUIRE(!t.defined() || t.data() != in.data() || in.data() == nullptr,
                  "an output tensor shares the memory of an input");
  }
  connect(inputs, outputs);
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const auto begin = times != nullptr ? Clock::now() : Clock::time_point();
    if (Status status = plan.steps[i]->run(pool); !status.ok())
      return {status.code(), text("step '", plan.sources[i]->name, "': ", status.message())};
    if (times != nullptr) (*times)[i].push_back(microseconds(Clock::now() - begin));
  }
  finish(outputs);
  return {};
}

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::~Session() = default;

Status Session::create(std::shared_ptr<const Model> model, const Options& options, std::unique_ptr<Session>& session) {
  NNQ_REQUIRE(model != nullptr, "no model");
  NNQ_TRY(check_isa(model->program()));
  NNQ_REQUIRE(options.threads >= 1 && options.threads <= 1024, "threads must be 1 to 1024, got ", options.threads);
  const std::string failure = text("a session of ", options.threads, " threads cannot be made");
  return guarded(failure.c_str(), [&]() -> Status {
    session.reset(new Session(std::make_unique<State>(std::move(model), options)));
    return {};
  });
}

Status Session::prepare(std::span<const Shape> input_shapes) {
  const Hold hold(state_->in_use);
  if (!hold.taken()) return busy();
  return state_->plan_for({input_shapes.begin(), input_shapes.end()});
}

Status Session::run(std::span<const Tensor> inputs, std::vector<Tensor>& outputs) {
  const Hold hold(state_->in_use);
  if (!hold.taken()) return busy();
  return guarded("out of memory", [&] { return state_->run(inputs, outputs, nullptr); });
}

std::size_t Session::peak_bytes() const { return state_->plan.peak_bytes; }
const std::vector<std::string>& Session::notes() const { return state_->notes; }
const char* Session::isa() const { return name_of(active_isa()); }

std::vector<StepInfo> Session::steps() const {
  std::vector<StepInfo> list;
  const Plan& plan = state_->plan;
  const Step* const model_steps = state_->model->program().steps.data();
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& source = *plan.sources[i];
    StepInfo info;
    info.name = source.name;
    info.kind = source.kind == StepKind::float_op ? "float " + source.node.op : name_of(source.kind);
    info.kernel = plan.steps[i]->kernel;
    info.operations = plan.steps[i]->operations;
    info.weight_bytes = plan.steps[i]->weight_bytes;
    info.refused = plan.steps[i]->refused;
    info.limit = name_of(plan.steps[i]->ceiling);
    info.limit_share = plan.steps[i]->ceiling_share;
    info.weight_bytes = plan.steps[i]->weight_bytes;
    info.step = static_cast<std::int32_t>(&source - model_steps);
    for (const auto* ends : {&plan.reads(i), &plan.writes(i)}) {
      for (const std::int32_t v : *ends) {
        const Slot* slot = v < 0 ? nullptr : &plan.slots[static_cast<std::size_t>(v)];
        if (slot != nullptr && slot->constant == nullptr)
          info.activation_bytes += static_cast<std::int64_t>(slot->bytes);
      }
    }
    if (const auto& reads = plan.reads(i); !reads.empty() && reads[0] >= 0)
      info.input_shape = plan.slots[static_cast<std::size_t>(reads[0])].shape;
    list.push_back(std::move(info));
  }
  return list;
}

Status Session::profile(std::span<const Tensor> inputs, int repeat, std::vector<StepInfo>& steps,
                        double& median_milliseconds) {
  const Hold hold(state_->in_use);
  if (!hold.taken()) return busy();
  NNQ_REQUIRE(repeat >= 1, "repeat must be at least 1");
  return guarded("out of memory", [&]() -> Status {
    std::vector<Tensor> outputs;
    std::vector<double> totals;
    NNQ_TRY(state_->run(inputs, outputs, nullptr));  // plans and warms up
    for (int i = 0; i < repeat; ++i) {
      const auto begin = Clock::now();
      NNQ_TRY(state_->run(inputs, outputs, nullptr));
      totals.push_back(microseconds(Clock::now() - begin));
    }
    // Steps are timed in runs of their own: reading the clock between them costs as much as a small step.
    std::vector<std::vector<double>> times(state_->plan.steps.size());
    for (int i = 0; i < repeat && !state_->plan.interpreted; ++i) NNQ_TRY(state_->run(inputs, outputs, &times));
    steps = this->steps();
    for (std::size_t i = 0; i < steps.size() && !times[i].empty(); ++i) {
      steps[i].median_microseconds = median(times[i]);
      steps[i].best_microseconds = *std::min_element(times[i].begin(), times[i].end());
    }
    median_milliseconds = median(totals) / 1000;
    return {};
  });
}

}  // namespace nnq
