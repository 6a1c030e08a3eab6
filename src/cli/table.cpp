#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace nnq::cli {

std::size_t display_width(const std::string& text) {
  std::size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xc0u) != 0x80u ? 1 : 0;
  return width;
}

std::string Table::text() const {
  std::vector<std::size_t> width(columns_.size());
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    width[c] = display_width(columns_[c].title);
    for (const auto& row : rows_) {
      if (c < row.size()) width[c] = std::max(width[c], display_width(row[c]));
    }
  }
  const auto line = [&](const auto& cell) {
    std::string out;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      const std::string content = cell(c);
      const std::string pad(width[c] - display_width(content), ' ');
      out += c == 0 ? "" : "  ";
      out += columns_[c].align == Align::right ? pad + content : content + pad;
    }
    out.erase(out.find_last_not_of(' ') + 1);
    return out + "\n";
  };
  std::size_t total = 2 * (columns_.empty() ? 0 : columns_.size() - 1);
  for (const std::size_t w : width) total += w;
  std::string rule;
  for (std::size_t i = 0; i < total; ++i) rule += "─";
  rule += "\n";

  std::string out = line([&](std::size_t c) { return columns_[c].title; }) + rule;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    if (std::find(rules_.begin(), rules_.end(), r) != rules_.end()) out += rule;
    out += line([&](std::size_t c) { return c < rows_[r].size() ? rows_[r][c] : std::string(); });
  }
  return out;
}

std::string grouped(std::int64_t value) {
  std::string digits = std::to_string(value < 0 ? -value : value);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
  if (value < 0) digits.insert(digits.begin(), '-');
  return digits;
}

namespace {
std::string scaled(double value, const char* const* units, double base) {
  int unit = 0;
  while (value >= base && unit < 4) {
    value /= base;
    ++unit;
  }
  const int digits = unit == 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
  const std::string number = fmt::format("{:.{}f}", value, digits);
  return units[unit][0] == '\0' ? number : number + " " + units[unit];
}
}  // namespace

std::string bytes_text(double bytes) {
  static constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  return scaled(bytes, units, 1000);
}

std::string count_text(double value) {
  static constexpr const char* units[] = {"", "k", "M", "G", "T"};
  return scaled(value, units, 1000);
}

std::string clipped(const std::string& text, std::size_t most) {
  if (display_width(text) <= most) return text;
  std::string out;
  std::size_t width = 0;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xc0u) != 0x80u && ++width == most) break;
    out += c;
  }
  return out + "…";
}

std::string fixed(double value, int digits) { return fmt::format("{:.{}f}", value, digits); }

}  // namespace nnq::cli
