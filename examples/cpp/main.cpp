// Images in, classes out: a packed model in C++20. One nnq::Model, one nnq::Session a thread.
//
//   cmake -S examples/cpp -B build/example_cpp -DCMAKE_PREFIX_PATH=PREFIX && cmake --build build/example_cpp
//   build/example_cpp/classify_all model.nnq a.ppm b.ppm ...      # or .pgm, of the size that the model expects
#include <nnq/runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

namespace {

/// Numbers of a comma-separated entry of the model's metadata; `otherwise` when there is none.
std::vector<float> metadata_numbers(const nnq::Model& model, const std::string& key, float otherwise) {
  std::vector<float> list;
  if (const auto entry = model.metadata().find(key); entry != model.metadata().end()) {
    const char* text = entry->second.c_str();
    for (char* end = nullptr; *text != '\0'; text = *end == ',' ? end + 1 : end) {
      list.push_back(std::strtof(text, &end));
      if (end == text) break;
    }
  }
  return list.empty() ? std::vector<float>{otherwise} : list;
}

/// A binary PGM or PPM as the model takes it: planes of (pixel / 255 - mean) / deviation. Comments in the header are
/// not understood.
nnq::Status load_image(const nnq::Model& model, const std::string& path, nnq::Tensor& x) {
  const nnq::ValueType& type = model.inputs()[0].type;
  NNQ_REQUIRE(type.ranked && type.shape.size() == 4 && type.dtype == nnq::DType::f32, "the model takes ",
              type.to_string(), ", not an image");
  const std::int64_t channels = type.shape[1].value, height = type.shape[2].value, width = type.shape[3].value;
  std::ifstream file(path, std::ios::binary);
  std::string kind;
  std::int64_t w = 0, h = 0, most = 0;
  file >> kind >> w >> h >> most;
  file.get();
  NNQ_REQUIRE(file && kind == (channels == 1 ? "P5" : "P6") && w == width && h == height && most == 255, path,
              " is not a ", channels == 1 ? "PGM" : "PPM", " image of ", width, " x ", height, " pixels");
  const std::int64_t plane = height * width;
  std::string pixels(static_cast<std::size_t>(channels * plane), '\0');
  file.read(pixels.data(), static_cast<std::streamsize>(pixels.size()));
  NNQ_REQUIRE(static_cast<bool>(file), path, " is cut short");
  const std::vector<float> means = metadata_numbers(model, "nnq.input.mean", 0),
                           deviations = metadata_numbers(model, "nnq.input.std", 1);
  x = nnq::Tensor(nnq::DType::f32, {1, channels, height, width});
  const auto of = [](const std::vector<float>& list, std::int64_t c) {
    return list[std::min(static_cast<std::size_t>(c), list.size() - 1)];
  };
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t i = 0; i < plane; ++i) {
      const auto pixel = static_cast<unsigned char>(pixels[static_cast<std::size_t>(i * channels + c)]);
      x.mutable_values<float>()[static_cast<std::size_t>(c * plane + i)] =
          (static_cast<float>(pixel) / 255.0F - of(means, c)) / of(deviations, c);
    }
  }
  return {};
}

/// Classifies every image that thread `first` of `step` threads is dealt, on a session of its own.
nnq::Status work(const std::shared_ptr<const nnq::Model>& model, const std::vector<std::string>& images,
                 std::size_t first, std::size_t step, std::vector<std::string>& results) {
  std::unique_ptr<nnq::Session> session;
  NNQ_TRY(nnq::Session::create(model, {.threads = 1, .memory_cap = std::size_t{1} << 30}, session));
  std::vector<nnq::Tensor> inputs(1), outputs;
  for (std::size_t i = first; i < images.size(); i += step) {
    NNQ_TRY(load_image(*model, images[i], inputs[0]));
    NNQ_TRY(session->run(inputs, outputs));  // memory is planned once and reused
    NNQ_REQUIRE(outputs[0].dtype() == nnq::DType::f32 && outputs[0].count() > 0, "the model does not give scores");
    const auto scores = outputs[0].values<float>();
    const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
    results[i] = "class " + std::to_string(best) + ", score " + std::to_string(scores[static_cast<std::size_t>(best)]);
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: classify_all MODEL.nnq IMAGE.ppm ...\n");
    return 2;
  }
  std::shared_ptr<const nnq::Model> model;
  if (const nnq::Status status = nnq::Model::load(argv[1], {}, model); !status.ok()) {
    std::fprintf(stderr, "classify_all: %s\n", status.message().c_str());
    return 1;
  }
  const std::vector<std::string> images(argv + 2, argv + argc);
  const std::size_t count = std::min<std::size_t>(images.size(), std::max(1U, std::thread::hardware_concurrency()));
  std::vector<nnq::Status> statuses(count);
  std::vector<std::string> results(images.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < count; ++i)
    threads.emplace_back([&, i] { statuses[i] = work(model, images, i, count, results); });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < images.size(); ++i)
    if (!results[i].empty()) std::printf("%s: %s\n", images[i].c_str(), results[i].c_str());
  for (const nnq::Status& status : statuses) {
    if (status.ok()) continue;
    std::fprintf(stderr, "classify_all: %s\n", status.message().c_str());
    return 1;
  }
  return 0;
}
