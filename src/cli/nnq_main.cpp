#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <new>
#include <system_error>

#include "cli/table.h"
#include "cli/verb.h"
#include "core/text.h"
#include "nnq/error.h"
#include "nnq/version.h"

namespace {

using nnq::cli::ExitCode;

std::string help_text(const std::vector<std::unique_ptr<nnq::cli::Verb>>& verbs) {
  std::string out = fmt::format(
      "nnq {}: makes a neural network small and fast, proves what that cost, runs the result\n\n", nnq::version());
  out += "usage: nnq VERB [options]         nnq VERB --help explains one verb\n\n";
  for (const auto& verb : verbs) out += fmt::format("  {:<10} {}\n", verb->name(), verb->summary());
  out += "\nevery verb: --json prints one JSON document (docs/json.md); tables go to stdout, progress to stderr\n";
  out += "exit codes: 0 done, 1 a stated requirement was not met, 2 bad usage or input, 3 a fault of nnq's own\n";
  out += "data sets:  looked for in NNQ_DATA, ~/.cache/nnq/data, /usr/share/datasets (nnq data)\n\n";
  out +=
      "start with: nnq compress models/fashion_mnist_float.onnx --weights 4 --activations 4 --data fashion_mnist "
      "--max-drop 0.5\n";
  return out;
}

/// What was printed is on its way; otherwise an error, for a table that nobody gets is not a result.
int delivered(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  fmt::print(stderr, "nnq: standard output: {}\n", std::strerror(errno));
  return code == ExitCode::done || code == ExitCode::not_met ? ExitCode::bad_input : code;
}

int report_error(bool json, const std::string& verb, const nnq::Error& error, int code) {
  if (json) {
    nlohmann::ordered_json document = {{"nnq", nnq::version()}, {"verb", verb}};
    document["error"] = {{"message", error.message()}, {"where", error.where()}, {"hint", error.hint()}};
    const std::string text = document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    std::fputs(text.c_str(), stdout);
  }
  std::string line = error.what();
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  fmt::print(stderr, "nnq{}: {}\n", verb.empty() ? "" : " " + verb, line);
  return code;
}

/// Runs `verb` and turns every way of failing into one line and the documented exit code.
int guarded(nnq::cli::Verb& verb, bool json) {
  try {
    nlohmann::ordered_json document = {{"nnq", nnq::version()}, {"verb", verb.name()}};
    const int code = verb.run(json, document);
    if (json) fmt::print("{}\n", document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return code;
  } catch (const nnq::Error& error) {
    return report_error(json, verb.name(), error, error.fault() ? ExitCode::own_fault : ExitCode::bad_input);
  } catch (const std::bad_alloc&) {
    return report_error(json, verb.name(), nnq::Error("not enough memory for this model and input"),
                        ExitCode::bad_input);
  } catch (const std::filesystem::filesystem_error& error) {
    // A file that was there a moment ago, a folder that is none, a full disk: the machine's state, not nnq's.
    return report_error(
        json, verb.name(),
        nnq::Error(error.code().message(), error.path1().string(), "did something else change this file or folder?"),
        ExitCode::bad_input);
  } catch (const std::system_error& error) {
    if (std::ferror(stdout) != 0)
      return report_error(false, verb.name(), nnq::Error(error.code().message(), "standard output"),
                          ExitCode::bad_input);
    return report_error(json, verb.name(), nnq::Error(error.what(), {}, "a fault of nnq's own, please report it"),
                        ExitCode::own_fault);
  } catch (const std::exception& error) {
    return report_error(json, verb.name(), nnq::Error(error.what(), {}, "a fault of nnq's own, please report it"),
                        ExitCode::own_fault);
  }
}

bool wants_json(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--json") return true;
  }
  return false;
}

/// "did you mean 'train'?" for a first word that is no verb.
std::string verb_hint(int argc, char** argv, const std::vector<std::unique_ptr<nnq::cli::Verb>>& verbs) {
  std::vector<std::string> names;
  for (const auto& verb : verbs) names.push_back(verb->name());
  const std::string near = argc > 1 ? nnq::nearest(argv[1], names) : "";
  return (near.empty() ? "" : "did you mean '" + near + "'? ") + "nnq --help lists the verbs";
}

int run_command_line(int argc, char** argv) {
  const auto verbs = nnq::cli::all_verbs();
  CLI::App app("nnq");
  app.set_help_flag();
  bool help = false, version = false, json = false;
  app.add_flag("-h,--help", help);
  app.add_flag("--version", version);
  app.require_subcommand(0, 1);
  std::vector<CLI::App*> subcommands;
  for (const auto& verb : verbs) {
    CLI::App* sub = app.add_subcommand(verb->name(), verb->summary());
    sub->set_help_flag("-h,--help", "explain this verb");  // else --help is only met behind what is required
    sub->add_flag("--json", json, "print one JSON document on stdout");
    verb->options(*sub);
    std::string footer = "Examples:\n";
    for (const std::string& example : verb->examples()) footer += "  " + example + "\n";
    sub->footer(footer);
    subcommands.push_back(sub);
  }
  if (argc == 3 && (std::string_view(argv[1]) == "--help" || std::string_view(argv[1]) == "-h"))
    std::swap(argv[1], argv[2]);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    for (CLI::App* sub : subcommands) {
      if (sub->parsed()) {
        fmt::print("{}", sub->help("nnq"));
        return ExitCode::done;
      }
    }
    fmt::print("{}", help_text(verbs));
    return ExitCode::done;
  } catch (const CLI::ParseError& error) {
    std::string verb;
    for (CLI::App* sub : subcommands) {
      if (sub->parsed() || sub->count_all() > 0) verb = sub->get_name();
    }
    const std::string hint = verb.empty() ? verb_hint(argc, argv, verbs) : "nnq " + verb + " --help lists the options";
    return report_error(wants_json(argc, argv), verb, nnq::Error(error.what(), {}, hint), ExitCode::bad_input);
  }
  if (version) {
    fmt::print("nnq {}\n", nnq::version());
    return ExitCode::done;
  }
  for (std::size_t i = 0; i < verbs.size(); ++i) {
    if (subcommands[i]->parsed()) return guarded(*verbs[i], json);
  }
  fmt::print("{}", help_text(verbs));
  return help || argc == 1 ? ExitCode::done : ExitCode::bad_input;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return delivered(run_command_line(argc, argv));
  } catch (const std::system_error&) {  // help or a list that could not be printed
    return delivered(ExitCode::bad_input);
  }
}
