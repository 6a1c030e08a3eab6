// Numbers as options take them, where CLI11's own checks say too much or too little.
#pragma once

#include <CLI/App.hpp>
#include <charconv>
#include <cstdint>
#include <string>

namespace nnq::cli {

/// 0 to 2^63 - 1: counts and seeds. CLI11 takes -1 for an unsigned number, and its message names the largest double.
inline CLI::Validator whole_number() {
  return {[](std::string& text) {
            std::int64_t value = 0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
            const bool whole = error == std::errc() && end == text.data() + text.size() && value >= 0;
            return whole ? std::string() : "'" + text + "' is not a whole number from 0 to 2^63 - 1";
          },
          "WHOLE"};
}

}  // namespace nnq::cli
