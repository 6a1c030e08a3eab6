// A verb of the command line: one file in src/cli/verbs/, parsing and printing only.
#pragma once

#include <CLI/App.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace nnq::cli {

/// Exit codes of `nnq` (docs/json.md): a verb returns done, not_met or stopped, the others come from exceptions.
enum ExitCode { done = 0, not_met = 1, bad_input = 2, own_fault = 3, stopped = 130 /* as shells say Ctrl-C */ };

class Verb {
 public:
  virtual ~Verb() = default;
  virtual std::string name() const = 0;
  virtual std::string summary() const = 0;                // one line, no full stop
  virtual std::vector<std::string> examples() const = 0;  // whole command lines
  virtual void options(CLI::App& app) = 0;
  /// Does the work. With `json` the document (without "nnq" and "verb") goes into `document` and nothing is printed;
  /// otherwise tables go to stdout. Progress and log always go to stderr.
  virtual int run(bool json, nlohmann::ordered_json& document) = 0;
};

/// Every verb of src/cli/verbs/, in the order of the help text.
std::vector<std::unique_ptr<Verb>> all_verbs();

}  // namespace nnq::cli

/// Last lines of a verb file: NNQ_VERB(inspect) { return std::make_unique<Inspect>(); }
#define NNQ_VERB(id)                     \
  namespace nnq::cli {                   \
  std::unique_ptr<Verb> register_##id(); \
  }                                      \
  std::unique_ptr<nnq::cli::Verb> nnq::cli::register_##id()
