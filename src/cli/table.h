// Tables for a tired human: aligned, short, numbers to the right.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nnq::cli {

class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// A rule before the next row, e.g. above totals.
  void rule() { rules_.push_back(rows_.size()); }
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::size_t> rules_;
};

/// Columns a terminal shows for UTF-8 text (code points; nnq prints no wide characters).
std::size_t display_width(const std::string& text);
std::string grouped(std::int64_t value);      // 14,022,016
std::string bytes_text(double bytes);         // "1.75 MB"
std::string count_text(double value);         // "608 M"
std::string fixed(double value, int digits);  // "91.50"
/// At most so many columns; the end of what is longer is "…".
std::string clipped(const std::string& text, std::size_t most);

}  // namespace nnq::cli
