// nnq-run: runs a packed model on NPY files, with nothing but the runtime inside.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/guard.h"
#include "core/npy.h"
#include "nnq/runtime.h"
#include "nnq/version.h"

#if !defined(__cpp_exceptions) && defined(__GLIBCXX__)
// The library's handler prints the exception's type, for which a static program would carry a 50 KB name demangler.
namespace __gnu_cxx {
void __verbose_terminate_handler();
void __verbose_terminate_handler() { std::abort(); }
}  // namespace __gnu_cxx
#endif

namespace {

using nnq::Status;
using nnq::Tensor;
using nnq::text;

constexpr char usage[] =
    "usage: nnq-run MODEL.nnq --input X.npy [--input NAME=Y.npy ...] [options]\n"
    "       nnq-run MODEL.nnq --info\n\n"
    "  --input FILE    an input, in the model's order; NAME=FILE gives the input of that name\n"
    "  --output DIR    write every output to DIR/NAME.npy\n"
    "  --threads N     threads, 1 to 1024 (default 1; results do not depend on it)\n"
    "  --repeat N      run N times and print the median time (default 1)\n"
    "  --weights-cache [DIR]  keep weights as kernels want them in DIR (default $XDG_CACHE_HOME/nnq or ~/.cache/nnq):\n"
    "                  later processes map them instead of packing; DIR may not start with -\n"
    "  --info          print what the model is and stop\n\n"
    "exit codes: 0 done, 2 bad usage or input, 3 a fault of nnq's own\n";

struct Arguments {
  std::string model, output, weights_cache;
  std::vector<std::string> inputs;
  int threads = 1, repeat = 1;
  bool info = false, help = false, version = false;
};

Status read_number(const std::string& option, const char* value, int most, int& number) {
  const char* end = value + std::strlen(value);
  const auto [at, error] = std::from_chars(value, end, number);
  NNQ_REQUIRE(error == std::errc() && at == end && number >= 1 && number <= most, option, ": '", value,
              "' is not a number from 1 to ", most);
  return {};
}

Status read_arguments(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--info") {
      arguments.info = true;
    } else if (option == "--help" || option == "-h") {
      arguments.help = true;
    } else if (option == "--version") {
      arguments.version = true;
    } else if (option == "--weights-cache") {
      const bool named = i + 1 < argc && argv[i + 1][0] != '-';
      arguments.weights_cache = named ? argv[++i] : nnq::cache_folder();
      NNQ_REQUIRE(!arguments.weights_cache.empty(), option, ": neither XDG_CACHE_HOME nor HOME is set: name a folder");
    } else if (option == "--input" || option == "--output" || option == "--threads" || option == "--repeat") {
      NNQ_REQUIRE(i + 1 < argc, option, " needs a value (nnq-run --help)");
      const char* value = argv[++i];
      NNQ_REQUIRE(*value != '\0', option, " needs a value (nnq-run --help)");
      if (option == "--input") arguments.inputs.emplace_back(value);
      if (option == "--output") arguments.output = value;
      if (option == "--threads") NNQ_TRY(read_number(option, value, 1024, arguments.threads));
      if (option == "--repeat") NNQ_TRY(read_number(option, value, 1'000'000, arguments.repeat));
    } else {
      NNQ_REQUIRE(!option.starts_with("-"), "unknown option ", option, " (nnq-run --help)");
      NNQ_REQUIRE(arguments.model.empty(), "more than one model: ", arguments.model, " and ", option);
      arguments.model = option;
    }
  }
  NNQ_REQUIRE(arguments.help || arguments.version || !arguments.model.empty(), "no model (nnq-run --help)");
  return {};
}

/// Rows of cells in columns as wide as their widest cell.
void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> width;
  for (const auto& row : rows) {
    width.resize(std::max(width.size(), row.size()));
    for (std::size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
  }
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      const int pad = c + 1 == row.size() ? 0 : static_cast<int>(width[c]);
      std::printf("%s%-*s", c == 0 ? "" : "  ", pad, row[c].c_str());
    }
    std::printf("\n");
  }
}

std::string type_text(const Tensor& t) { return text(name_of(t.dtype()), nnq::to_string(t.shape())); }

std::string decimals(double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), "%.3f", value);
  return buffer;
}

void print_info(const std::string& file, const nnq::Model& model) {
  std::vector<std::vector<std::string>> rows = {{"model", file, text(model.file_bytes(), " bytes")}};
  for (const auto& port : model.inputs()) rows.push_back({"input", port.name, port.type.to_string()});
  for (const auto& port : model.outputs()) rows.push_back({"output", port.name, port.type.to_string()});
  for (const auto& [key, value] : model.metadata()) rows.push_back({"metadata", key, value});
  print_table(rows);
}

/// Loads every input of the model: by name where NAME= is given, the others in order.
Status load_inputs(const nnq::Model& model, const std::vector<std::string>& given, std::vector<Tensor>& inputs) {
  const auto& ports = model.inputs();
  inputs.resize(ports.size());
  std::vector<std::string> files(ports.size()), unnamed;
  for (const std::string& argument : given) {
    const auto port = std::find_if(ports.begin(), ports.end(),
                                   [&](const nnq::ModelPort& p) { return argument.starts_with(p.name + "="); });
    if (port == ports.end()) {
      unnamed.push_back(argument);
      continue;
    }
    std::string& file = files[static_cast<std::size_t>(port - ports.begin())];
    NNQ_REQUIRE(file.empty(), "input '", port->name, "' is given twice");
    file = argument.substr(port->name.size() + 1);
  }
  auto next = unnamed.begin();
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (files[i].empty()) {
      NNQ_REQUIRE(next != unnamed.end(), "input '", ports[i].name, "' (", ports[i].type.to_string(),
                  ") is not given: add --input FILE.npy");
      files[i] = *next++;
    }
    NNQ_TRY(nnq::try_load_npy(files[i], inputs[i]));
  }
  NNQ_REQUIRE(next == unnamed.end(), "the model has ", ports.size(), " inputs; --input ", *next, " is one too many");
  return {};
}

/// DIR/NAME.npy; characters that would leave the folder or surprise a shell become _.
std::string output_file(const std::string& folder, const std::string& name, std::size_t index,
                        const std::vector<nnq::ModelPort>& ports) {
  const auto safe = [](std::string s) {
    for (char& c : s) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                         c == '_' || c == '.';
      if (!plain) c = '_';
    }
    return s.empty() || s[0] == '.' ? "_" + s : s;
  };
  std::string stem = safe(name);
  const auto same = std::count_if(ports.begin(), ports.end(), [&](const auto& p) { return safe(p.name) == stem; });
  if (same > 1) stem += text(".", index);
  return folder + "/" + stem + ".npy";
}

Status run(const Arguments& arguments) {
  std::shared_ptr<const nnq::Model> model;
  NNQ_TRY(nnq::Model::load(arguments.model, {}, model));
  if (arguments.info) {
    print_info(arguments.model, *model);
    return {};
  }
  std::vector<Tensor> inputs, outputs;
  NNQ_TRY(load_inputs(*model, arguments.inputs, inputs));
  std::unique_ptr<nnq::Session> session;
  NNQ_TRY(
      nnq::Session::create(model, {.threads = arguments.threads, .weights_cache = arguments.weights_cache}, session));
  std::vector<nnq::Shape> shapes;
  for (const Tensor& input : inputs) shapes.push_back(input.shape());
  NNQ_TRY(session->prepare(shapes));
  for (const std::string& note : session->notes()) std::fprintf(stderr, "nnq-run: %s\n", note.c_str());
  std::vector<double> milliseconds;
  for (int i = 0; i < arguments.repeat; ++i) {
    const auto start = std::chrono::steady_clock::now();
    NNQ_TRY(session->run(inputs, outputs));
    milliseconds.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    rows.push_back({"input", model->inputs()[i].name, type_text(inputs[i])});
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::string& name = model->outputs()[i].name;
    rows.push_back({"output", name, type_text(outputs[i])});
    if (arguments.output.empty()) continue;
    const std::string file = output_file(arguments.output, name, i, model->outputs());
    NNQ_TRY(nnq::try_save_npy(outputs[i], file));
    rows.back().push_back(file);
  }
  std::nth_element(milliseconds.begin(), milliseconds.begin() + arguments.repeat / 2, milliseconds.end());
  rows.push_back({"median", text(arguments.repeat, arguments.repeat == 1 ? " run" : " runs"),
                  decimals(milliseconds[static_cast<std::size_t>(arguments.repeat / 2)]) + " ms"});
  rows.push_back({"memory", "planned", text(session->peak_bytes(), " bytes")});
  rows.push_back({"kernels", session->isa(), text(arguments.threads, arguments.threads == 1 ? " thread" : " threads")});
  print_table(rows);
  return {};
}

int report(const Status& status) {
  std::string line = status.message();
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  std::fprintf(stderr, "nnq-run: %s\n", line.c_str());
  return status.code() == nnq::StatusCode::internal ? 3 : 2;
}

}  // namespace

int main(int argc, char** argv) {
  const Status status = nnq::guarded("not enough memory for this model and input", [&]() -> Status {
    Arguments arguments;
    NNQ_TRY(read_arguments(argc, argv, arguments));
    if (!arguments.help && !arguments.version)
      NNQ_TRY(run(arguments));
    else
      std::printf("nnq-run %s\n%s%s", nnq::version(), arguments.help ? "\n" : "", arguments.help ? usage : "");
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
    return Status::invalid(text("standard output: ", std::strerror(errno)));
  });
  return status.ok() ? 0 : report(status);
}
