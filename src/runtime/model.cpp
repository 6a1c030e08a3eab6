// Loading: a file mapped or read, its program verified, its ports.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/guard.h"
#include "runtime/model_state.h"

namespace nnq {
namespace {

/// A file's bytes, mapped or copied; released with it.
class FileBytes {
 public:
  FileBytes(void* mapped, std::size_t size) : mapped_(mapped), size_(size) {}
  explicit FileBytes(std::size_t size) : copy_(new std::byte[size]), size_(size) {}
  ~FileBytes() {
    if (mapped_ != nullptr) munmap(mapped_, size_);
  }
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;
  std::byte* copy() { return copy_.get(); }
  std::span<const std::byte> bytes() const {
    return {mapped_ != nullptr ? static_cast<const std::byte*>(mapped_) : copy_.get(), size_};
  }

 private:
  void* mapped_ = nullptr;
  std::unique_ptr<std::byte[]> copy_;
  std::size_t size_;
};

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

Status read_all(int descriptor, std::byte* to, std::size_t size) {
  for (std::size_t done = 0; done < size;) {
    const ssize_t n = read(descriptor, to + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Status::bad_file(text("cannot be read at offset ", done));
    done += static_cast<std::size_t>(n);
  }
  return {};
}

Status open_file(const std::string& file, bool private_copy, std::shared_ptr<FileBytes>& bytes) {
  const Descriptor d{open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (d.number < 0) return Status::bad_file(text("cannot be opened: ", std::strerror(errno)));
  struct stat info {};
  if (fstat(d.number, &info) != 0 || !S_ISREG(info.st_mode)) return Status::bad_file("is not a file");
  if (info.st_size == 0) return Status::bad_file("is empty");
  const auto size = static_cast<std::size_t>(info.st_size);
  if (!private_copy) {
    void* mapped = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, d.number, 0);
    if (mapped != MAP_FAILED) {
      bytes = std::make_shared<FileBytes>(mapped, size);
      return {};
    }
  }
  bytes = std::make_shared<FileBytes>(size);
  return read_all(d.number, bytes->copy(), size);
}

std::vector<ModelPort> ports(const Program& program, const std::vector<std::int32_t>& numbers) {
  std::vector<ModelPort> list;
  for (const std::int32_t v : numbers) {
    const ProgramValue& value = program.values[static_cast<std::size_t>(v)];
    list.push_back({value.name, value.type});
  }
  return list;
}

}  // namespace

Model::State::State(Program made, std::size_t bytes)
    : program(std::move(made)),
      inputs(ports(program, program.inputs)),
      outputs(ports(program, program.outputs)),
      file_bytes(bytes) {}
Model::Model(std::unique_ptr<State> state) : state_(std::move(state)) {}
Model::~Model() = default;
const std::vector<ModelPort>& Model::inputs() const { return state_->inputs; }
const std::vector<ModelPort>& Model::outputs() const { return state_->outputs; }
const std::map<std::string, std::string>& Model::metadata() const { return state_->program.metadata; }
const Program& Model::program() const { return state_->program; }
std::size_t Model::file_bytes() const { return state_->file_bytes; }
std::size_t Model::packed_bytes() const { return static_cast<std::size_t>(state_->weights.bytes()); }

Status Model::from_program(Program program, std::shared_ptr<const Model>& model) {
  NNQ_TRY(check_program(program));
  model.reset(new Model(std::make_unique<State>(std::move(program), 0)));
  return {};
}

Status Model::load(const std::string& file, const Options& options, std::shared_ptr<const Model>& model) {
  Status status = guarded("out of memory while loading", [&]() -> Status {
    std::shared_ptr<FileBytes> bytes;
    NNQ_TRY(open_file(file, options.private_copy, bytes));
    Program program;
    NNQ_TRY(parse_program(bytes->bytes(), bytes, program));
    model.reset(new Model(std::make_unique<State>(std::move(program), bytes->bytes().size())));
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
    model.reset(new Model(std::make_unique<State>(std::move(program), bytes.size())));
    return {};
  });
}

}  // namespace nnq
