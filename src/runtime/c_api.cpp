// The C API over nnq::Model and nnq::Session: checks every pointer, translates types, lets no exception out.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <new>

#include "nnq/nnq.h"
#include "nnq/runtime.h"
#include "nnq/version.h"

using nnq::DType;
using nnq::Shape;
using nnq::Status;
using nnq::StatusCode;
using nnq::Tensor;

struct nnq_model {
  std::shared_ptr<const nnq::Model> model;
};

struct nnq_session {
  std::unique_ptr<nnq::Session> session;
  std::size_t input_count = 0, output_count = 0;
  std::vector<Tensor> inputs, outputs;  // reused by every run
  std::atomic_flag in_use;
};

namespace {

static_assert(static_cast<int>(StatusCode::internal) == NNQ_INTERNAL);
static_assert(static_cast<int>(StatusCode::bad_file) == NNQ_BAD_FILE);
static_assert(static_cast<int>(DType::f32) == NNQ_FLOAT32 && static_cast<int>(DType::boolean) == NNQ_BOOL);
static_assert(static_cast<int>(DType::i64) == NNQ_INT64 && static_cast<int>(DType::u64) == NNQ_UINT64);

constexpr std::int32_t max_threads = 1024;

/// A plain array: keeping the message of an allocation that failed must not allocate.
thread_local char last_message[1024] = "";

nnq_status report(StatusCode code, const char* message) {
  std::strncpy(last_message, message, sizeof(last_message) - 1);
  return static_cast<nnq_status>(code);
}

/// Calls f, which returns a Status; keeps the message of a failure.
template <class F>
nnq_status guarded(F&& f) noexcept {
  const auto run = [&] {
    const Status status = f();
    return status.ok() ? NNQ_OK : report(status.code(), status.message().c_str());
  };
#if defined(__cpp_exceptions)
  try {
    return run();
  } catch (const std::bad_alloc&) {
    return report(StatusCode::out_of_memory, "not enough memory");
  } catch (const std::exception& error) {
    return report(StatusCode::internal, error.what());
  } catch (...) {
    return report(StatusCode::internal, "an unknown exception");
  }
#else
  return run();
#endif
}

Status load_into(std::shared_ptr<const nnq::Model> loaded, nnq_model** model) {
  *model = new nnq_model{std::move(loaded)};
  return {};
}

nnq_status describe(const nnq_model* model, bool input, std::int32_t index, nnq_port* port) noexcept {
  return guarded([&]() -> Status {
    const char* what = input ? "input" : "output";
    NNQ_REQUIRE(model != nullptr && port != nullptr, "nnq_model_", what, ": model or port is NULL");
    const auto& ports = input ? model->model->inputs() : model->model->outputs();
    NNQ_REQUIRE(index >= 0 && static_cast<std::size_t>(index) < ports.size(), "the model has ", ports.size(), " ", what,
                "s, there is no number ", index);
    const nnq::ModelPort& p = ports[static_cast<std::size_t>(index)];
    if (p.type.dtype == DType::string || p.type.shape.size() > NNQ_MAX_RANK)
      return Status::unsupported(
          nnq::text(what, " '", p.name, "' is ", p.type.to_string(), ", which nnq_port cannot say"));
    *port = {};
    port->name = p.name.c_str();
    port->dtype = static_cast<nnq_dtype>(p.type.dtype);
    port->rank = p.type.ranked ? static_cast<std::int32_t>(p.type.shape.size()) : -1;
    for (std::size_t d = 0; p.type.ranked && d < p.type.shape.size(); ++d) port->dims[d] = p.type.shape[d].value;
    return {};
  });
}

bool same_shape(const Shape& shape, const nnq_tensor& given) {
  return shape.size() == static_cast<std::size_t>(given.rank) && std::equal(shape.begin(), shape.end(), given.dims);
}

/// Copies a caller's input into the session's tensor, which is made anew only when type or shape differ.
Status take(const nnq_tensor& given, std::int32_t index, Tensor& input) {
  NNQ_REQUIRE(given.rank >= 0 && given.rank <= NNQ_MAX_RANK, "input ", index, ": rank ", given.rank, " is not 0 .. ",
              NNQ_MAX_RANK);
  NNQ_REQUIRE(given.dtype >= NNQ_FLOAT32 && given.dtype <= NNQ_BOOL, "input ", index, ": unknown element type ",
              static_cast<int>(given.dtype));
  const auto dtype = static_cast<DType>(given.dtype);
  if (!input.defined() || input.dtype() != dtype || !same_shape(input.shape(), given)) {
    const Shape shape(given.dims, given.dims + given.rank);
    const auto count = nnq::checked_count(shape);
    // Before memory is taken for it: the caller must have as many bytes.
    NNQ_REQUIRE(count && static_cast<std::size_t>(*count) <= given.bytes / nnq::size_of(dtype), "input ", index,
                ": shape ", nnq::to_string(shape), " of ", name_of(dtype), " does not fit its ", given.bytes, " bytes");
    input = Tensor(dtype, shape);
  }
  NNQ_REQUIRE(given.bytes == input.bytes(), "input ", index, ": shape ", nnq::to_string(input.shape()), " of ",
              name_of(dtype), " is ", input.bytes(), " bytes, got ", given.bytes);
  NNQ_REQUIRE(given.data != nullptr || given.bytes == 0, "input ", index, ": data is NULL");
  if (given.bytes > 0) std::memcpy(input.mutable_data(), given.data, given.bytes);
  return {};
}

/// Shows an output of the session to the caller.
void show(const Tensor& output, nnq_tensor& view) {
  view = {};
  view.dtype = static_cast<nnq_dtype>(output.dtype());
  view.rank = static_cast<std::int32_t>(output.shape().size());
  std::copy(output.shape().begin(), output.shape().end(), view.dims);
  view.data = const_cast<std::byte*>(output.data());  // to be read: nnq.h says so
  view.bytes = output.bytes();
}

Status run(nnq_session& s, const nnq_tensor* inputs, nnq_tensor* outputs) {
  for (std::size_t i = 0; i < s.input_count; ++i) NNQ_TRY(take(inputs[i], static_cast<std::int32_t>(i), s.inputs[i]));
  NNQ_TRY(s.session->run(s.inputs, s.outputs));
  for (std::size_t i = 0; i < s.output_count; ++i) {
    const Tensor& t = s.outputs[i];
    if (t.dtype() == DType::string || t.rank() > NNQ_MAX_RANK)
      return Status::unsupported(nnq::text("output ", i, " is ", name_of(t.dtype()), nnq::to_string(t.shape()),
                                           ", which nnq_tensor cannot say"));
  }
  for (std::size_t i = 0; i < s.output_count; ++i) show(s.outputs[i], outputs[i]);
  return {};
}

}  // namespace

extern "C" {

const char* nnq_version(void) { return nnq::version(); }

const char* nnq_status_message(void) { return last_message; }

nnq_status nnq_model_load(const char* path, nnq_model** model) {
  if (model != nullptr) *model = nullptr;
  return guarded([&]() -> Status {
    NNQ_REQUIRE(path != nullptr && model != nullptr, "nnq_model_load: path or model is NULL");
    std::shared_ptr<const nnq::Model> loaded;
    NNQ_TRY(nnq::Model::load(path, {}, loaded));
    return load_into(std::move(loaded), model);
  });
}

nnq_status nnq_model_load_bytes(const void* data, size_t bytes, nnq_model** model) {
  if (model != nullptr) *model = nullptr;
  return guarded([&]() -> Status {
    NNQ_REQUIRE(data != nullptr && model != nullptr, "nnq_model_load_bytes: data or model is NULL");
    std::shared_ptr<const nnq::Model> loaded;
    NNQ_TRY(nnq::Model::from_bytes({static_cast<const std::byte*>(data), bytes}, loaded));
    return load_into(std::move(loaded), model);
  });
}

void nnq_model_free(nnq_model* model) { delete model; }

int32_t nnq_model_input_count(const nnq_model* model) {
  return model == nullptr ? 0 : static_cast<std::int32_t>(model->model->inputs().size());
}

int32_t nnq_model_output_count(const nnq_model* model) {
  return model == nullptr ? 0 : static_cast<std::int32_t>(model->model->outputs().size());
}

nnq_status nnq_model_input(const nnq_model* model, int32_t index, nnq_port* port) {
  return describe(model, true, index, port);
}

nnq_status nnq_model_output(const nnq_model* model, int32_t index, nnq_port* port) {
  return describe(model, false, index, port);
}

const char* nnq_model_metadata(const nnq_model* model, const char* key) {
  const char* found = nullptr;
  const nnq_status status = guarded([&]() -> Status {
    NNQ_REQUIRE(model != nullptr && key != nullptr, "nnq_model_metadata: model or key is NULL");
    const auto& entries = model->model->metadata();
    if (const auto it = entries.find(key); it != entries.end()) found = it->second.c_str();
    return {};
  });
  return status == NNQ_OK ? found : nullptr;
}

nnq_status nnq_session_create(const nnq_model* model, const nnq_session_options* options, nnq_session** session) {
  if (session != nullptr) *session = nullptr;
  return guarded([&]() -> Status {
    NNQ_REQUIRE(model != nullptr && session != nullptr, "nnq_session_create: model or session is NULL");
    nnq::Session::Options wanted;
    if (options != nullptr) {
      NNQ_REQUIRE(options->threads >= 0 && options->threads <= max_threads, options->threads,
                  " threads; use 0 (one) to ", max_threads);
      wanted.threads = std::max(options->threads, 1);
      wanted.memory_cap = options->memory_cap;
      if (options->weights_cache != nullptr) wanted.weights_cache = options->weights_cache;
    }
    auto made = std::make_unique<nnq_session>();
    NNQ_TRY(nnq::Session::create(model->model, wanted, made->session));
    made->input_count = model->model->inputs().size();
    made->output_count = model->model->outputs().size();
    made->inputs.resize(made->input_count);
    made->outputs.reserve(made->output_count);
    *session = made.release();
    return {};
  });
}

void nnq_session_free(nnq_session* session) { delete session; }

nnq_status nnq_session_run(nnq_session* session, const nnq_tensor* inputs, int32_t input_count, nnq_tensor* outputs,
                           int32_t output_count) {
  return guarded([&]() -> Status {
    NNQ_REQUIRE(session != nullptr, "nnq_session_run: session is NULL");
    NNQ_REQUIRE(input_count >= 0 && static_cast<std::size_t>(input_count) == session->input_count, "the model has ",
                session->input_count, " inputs, got ", input_count);
    NNQ_REQUIRE(output_count >= 0 && static_cast<std::size_t>(output_count) == session->output_count, "the model has ",
                session->output_count, " outputs, got room for ", output_count);
    NNQ_REQUIRE((inputs != nullptr || input_count == 0) && (outputs != nullptr || output_count == 0),
                "nnq_session_run: inputs or outputs is NULL");
    if (session->in_use.test_and_set(std::memory_order_acquire))
      return {StatusCode::busy, "the session is in use by another thread; make one session for each thread"};
    struct Release {
      std::atomic_flag& flag;
      ~Release() { flag.clear(std::memory_order_release); }
    } const release{session->in_use};
    return run(*session, inputs, outputs);
  });
}

size_t nnq_session_peak_bytes(const nnq_session* session) {
  return session == nullptr ? 0 : session->session->peak_bytes();
}

const char* nnq_session_isa(const nnq_session* session) {
  return session == nullptr ? nullptr : session->session->isa();
}

}  // extern "C"
