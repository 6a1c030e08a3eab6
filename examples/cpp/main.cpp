// Runs one packed model on several threads, through the C++ API: one nnq::Model, one nnq::Session a thread.
//
//   cmake -S examples/cpp -B build/example_cpp -DCMAKE_PREFIX_PATH=PREFIX && cmake --build build/example_cpp
//   build/example_cpp/parallel model.nnq 4
#include <nnq/runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

namespace {

/// Inputs of the shapes the model declares, floats 0.5; free dimensions (batch, height, width) are taken as 1.
std::vector<nnq::Tensor> grey_inputs(const nnq::Model& model) {
  std::vector<nnq::Tensor> inputs;
  for (const nnq::ModelPort& port : model.inputs()) {
    nnq::Shape shape;
    for (const nnq::Dim& dim : port.type.shape) shape.push_back(dim.known() ? dim.value : 1);
    nnq::Tensor& x = inputs.emplace_back(port.type.dtype, shape);
    if (port.type.dtype == nnq::DType::f32) std::ranges::fill(x.mutable_values<float>(), 0.5f);
  }
  return inputs;
}

/// What one thread does: its own session on the shared model.
nnq::Status work(const std::shared_ptr<const nnq::Model>& model, std::string& result) {
  std::unique_ptr<nnq::Session> session;
  NNQ_TRY(nnq::Session::create(model, {.threads = 1, .memory_cap = std::size_t{1} << 30}, session));
  const std::vector<nnq::Tensor> inputs = grey_inputs(*model);
  std::vector<nnq::Tensor> outputs;
  for (int i = 0; i < 10; ++i) NNQ_TRY(session->run(inputs, outputs));  // memory is planned once and reused
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    result += model->outputs()[i].name + " " + nnq::name_of(outputs[i].dtype()) + nnq::to_string(outputs[i].shape());
    if (outputs[i].dtype() == nnq::DType::f32 && outputs[i].count() > 0)
      result += " first value " + std::to_string(outputs[i].as<float>()[0]);
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: parallel MODEL.nnq [THREADS]\n");
    return 2;
  }
  const auto count = static_cast<std::size_t>(argc > 2 ? std::max(1, std::atoi(argv[2])) : 2);
  std::shared_ptr<const nnq::Model> model;
  if (const nnq::Status status = nnq::Model::load(argv[1], {}, model); !status.ok()) {
    std::fprintf(stderr, "parallel: %s\n", status.message().c_str());
    return 1;
  }
  std::vector<nnq::Status> statuses(count);
  std::vector<std::string> results(count);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < count; ++i) threads.emplace_back([&, i] { statuses[i] = work(model, results[i]); });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < count; ++i)
    std::printf("thread %zu: %s\n", i, (statuses[i].ok() ? results[i] : statuses[i].message()).c_str());
  for (const nnq::Status& status : statuses) {
    if (!status.ok()) return 1;
  }
  return 0;
}
