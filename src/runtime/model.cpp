// Loading: a program from a file or from memory, its ports, what its content is known by.
#include <cstring>

#include "core/checksum.h"
#include "core/guard.h"
#include "runtime/file_bytes.h"
#include "runtime/image.h"
#include "runtime/model_state.h"

namespace nnq {
namespace {

std::vector<ModelPort> ports(const Program& program, const std::vector<std::int32_t>& numbers) {
  std::vector<ModelPort> list;
  for (const std::int32_t v : numbers) {
    const ProgramValue& value = program.values[static_cast<std::size_t>(v)];
    list.push_back({value.name, value.type});
  }
  return list;
}

}  // namespace

Model::State::State(Program made, std::span<const std::byte> bytes, bool copied)
    : program(std::move(made)),
      inputs(ports(program, program.inputs)),
      outputs(ports(program, program.outputs)),
      image(bytes),
      private_copy(copied) {}

std::uint64_t Model::State::content() const {
  ImageHeader header;
  if (image.size() < sizeof(header)) return 0;
  std::memcpy(&header, image.data(), sizeof(header));
  return header.content != 0 ? header.content : counted_content();
}

std::uint64_t Model::State::counted_content() const { return checksum64(image.subspan(sizeof(ImageHeader))); }

Model::Model(std::unique_ptr<State> state) : state_(std::move(state)) {}
Model::~Model() = default;
const std::vector<ModelPort>& Model::inputs() const { return state_->inputs; }
const std::vector<ModelPort>& Model::outputs() const { return state_->outputs; }
const std::map<std::string, std::string>& Model::metadata() const { return state_->program.metadata; }
const Program& Model::program() const { return state_->program; }
std::size_t Model::file_bytes() const { return state_->image.size(); }
std::size_t Model::packed_bytes() const { return static_cast<std::size_t>(state_->weights.bytes()); }

Status Model::from_program(Program program, std::shared_ptr<const Model>& model) {
  NNQ_TRY(check_program(program));
  model.reset(new Model(std::make_unique<State>(std::move(program), std::span<const std::byte>(), true)));
  return {};
}

Status Model::load(const std::string& file, const Options& options, std::shared_ptr<const Model>& model) {
  Status status = guarded("out of memory while loading", [&]() -> Status {
    std::shared_ptr<FileBytes> bytes;
    NNQ_TRY(open_file(file, {.private_copy = options.private_copy}, bytes));
    Program program;
    NNQ_TRY(parse_program(bytes->bytes(), bytes, program));
    model.reset(new Model(std::make_unique<State>(std::move(program), bytes->bytes(), options.private_copy)));
    return {};
  });
  if (status.ok()) return status;
  return {status.code(), text(file, ": ", status.message())};
}

Status Model::from_bytes(std::span<const std::byte> bytes, std::shared_ptr<const Model>& model) {
  return guarded("out of memory while loading", [&]() -> Status {
    NNQ_REQUIRE(!bytes.empty(), "the model image is empty");
    auto copy = std::make_shared<FileBytes>(bytes.size());
    std::memcpy(copy->copy(), bytes.data(), bytes.size());
    Program program;
    NNQ_TRY(parse_program(copy->bytes(), copy, program));
    model.reset(new Model(std::make_unique<State>(std::move(program), copy->bytes(), false)));
    return {};
  });
}

}  // namespace nnq
