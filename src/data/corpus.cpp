#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "core/atomic_file.h"
#include "core/random.h"
#include "core/text.h"
#include "data/registry.h"
#include "nnq/error.h"
#include "nnq/text.h"

namespace nnq {
namespace {

constexpr const char* kUnknown = "<unk>";

/// Words of each line with "<eos>" behind it, or the characters (UTF-8 sequences whole, bytes that begin none alone).
std::vector<std::string> units(std::string_view text, bool characters) {
  std::vector<std::string> out;
  if (characters) {
    for (std::size_t i = 0; i < text.size();) {
      const auto lead = static_cast<unsigned char>(text[i]);
      const std::size_t length = lead < 0xc0 || lead > 0xf7 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
      out.emplace_back(text.substr(i, length));
      i += length;
    }
    return out;
  }
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    while (!line.empty()) {
      const std::size_t start = line.find_first_not_of(" \t\r");
      if (start == std::string_view::npos) break;
      line.remove_prefix(start);
      const std::size_t stop = std::min(line.find_first_of(" \t\r"), line.size());
      out.emplace_back(line.substr(0, stop));
      line.remove_prefix(stop);
    }
    out.emplace_back("<eos>");
    begin = end + 1;
  }
  return out;
}

struct Content {
  std::vector<std::string> units;
  std::uint64_t hash = 0;
};

Content read_text(const std::filesystem::path& file, bool characters) {
  std::vector<std::byte> bytes;
  throw_if_error(try_read_file(file, std::size_t{2} << 30, bytes));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  Content read{units(text, characters), hash64(text)};
  if (read.units.empty()) throw Error("holds no text", file.string());
  return read;
}

using Words = std::vector<std::string>;

/// Distinct units in order of first appearance.
Words distinct(std::span<const std::string> units) {
  Words words;
  std::unordered_set<std::string_view> seen;
  for (const std::string& unit : units)
    if (seen.insert(unit).second) words.push_back(unit);
  return words;
}

/// The `count` - 1 most frequent words besides <unk> (of equals the earlier), in order of first appearance, and <unk>.
Words most_frequent(std::span<const std::string> units, const Words& words, std::size_t count) {
  std::unordered_map<std::string_view, std::int64_t> occurrences;
  for (const std::string& unit : units) ++occurrences[unit];
  std::vector<std::size_t> order(words.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::erase_if(order, [&](std::size_t i) { return words[i] == kUnknown; });
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return occurrences[words[a]] > occurrences[words[b]]; });
  order.resize(count - 1);
  std::sort(order.begin(), order.end());
  Words kept;
  for (const std::size_t i : order) kept.push_back(words[i]);
  kept.emplace_back(kUnknown);
  return kept;
}

std::vector<std::int32_t> tokens_of(std::span<const std::string> units, const Words& vocabulary,
                                    const std::string& source) {
  std::unordered_map<std::string_view, std::int32_t> ids;
  for (std::size_t i = 0; i < vocabulary.size(); ++i) ids.emplace(vocabulary[i], static_cast<std::int32_t>(i));
  const auto unknown = ids.find(kUnknown);
  std::vector<std::int32_t> tokens;
  tokens.reserve(units.size());
  for (std::size_t i = 0; i < units.size(); ++i) {
    const auto it = ids.find(units[i]);
    if (it == ids.end() && unknown == ids.end())
      throw Error(fmt::format("token {} ('{}') is not in the vocabulary, which has no <unk>", i, units[i]), source);
    tokens.push_back(it != ids.end() ? it->second : unknown->second);
  }
  return tokens;
}

std::span<const std::string> units_of(const Content& text, const data::TextPart& part) {
  const auto at = [&](double share) {
    return static_cast<std::size_t>(std::llround(share * static_cast<double>(text.units.size())));
  };
  const auto cut = std::span(text.units).subspan(at(part.begin), at(part.end) - at(part.begin));
  if (cut.empty()) throw Error("is too short: this part of it holds no token", part.file.string());
  return cut;
}

data::TextPart find_part(const std::string& spec, Split split) {
  if (spec.starts_with("text:")) return data::part_of_file(spec.substr(5), split, false);
  if (spec.starts_with("chars:")) return data::part_of_file(spec.substr(6), split, true);
  const data::Dataset* set = data::find_set(spec);
  if (set == nullptr || !set->text) {
    Words names;
    for (const DatasetInfo& info : all_datasets())
      if (is_text(info.name)) names.push_back(info.name);
    throw Error("there is no corpus '" + spec + "'", {}, suggestion(spec, names) + "; or text:FILE, chars:FILE");
  }
  return set->text(data::require_folder(*set), split);
}

/// Characters come from the whole file: which ones exist is no secret of the test split. Words come from the training
/// split, and <unk> is always among them, for the words of the other splits.
Words vocabulary_of(const data::TextPart& train, const Content& text, std::int64_t words) {
  const auto units = train.characters ? std::span<const std::string>(text.units) : units_of(text, train);
  Words all = distinct(units);
  if (!train.characters && std::find(all.begin(), all.end(), kUnknown) == all.end()) all.emplace_back(kUnknown);
  const auto known = static_cast<std::int64_t>(all.size());
  if (words <= 0 || words == known) return all;
  if (words < 2 || words > known)
    throw Error(fmt::format("has a vocabulary of {} tokens, {} were asked for", known, words), train.file.string(),
                fmt::format("ask for 2 to {}, or for 0: all", known));
  return most_frequent(units, all, static_cast<std::size_t>(words));
}

}  // namespace

data::TextPart data::part_of_file(const std::filesystem::path& file, Split split, bool characters) {
  const double begin = split == Split::train ? 0 : split == Split::validation ? 0.9 : 0.95;
  return {file, begin, split == Split::train ? 0.9 : split == Split::validation ? 0.95 : 1, characters};
}

bool is_text(const std::string& spec) {
  if (spec.starts_with("text:") || spec.starts_with("chars:")) return true;
  const data::Dataset* set = data::find_set(spec);
  return set != nullptr && set->text != nullptr;
}

Corpus load_corpus(const std::filesystem::path& file, bool characters, const std::vector<std::string>& vocabulary) {
  const Content text = read_text(file, characters);
  Corpus corpus;
  corpus.vocabulary = vocabulary.empty() ? distinct(text.units) : vocabulary;
  corpus.tokens = tokens_of(text.units, corpus.vocabulary, file.string());
  return corpus;
}

Text load_text(const std::string& spec, Split split, const std::vector<std::string>& vocabulary) {
  const data::TextPart part = find_part(spec, split);
  const Content content = read_text(part.file, part.characters);
  Text text;
  text.vocabulary = vocabulary;
  text.characters = part.characters;
  text.hash = content.hash;
  text.source = part.file.string();
  text.tokens = tokens_of(units_of(content, part), vocabulary, text.source);
  return text;
}

Text load_text(const std::string& spec, Split split, std::int64_t words) {
  const data::TextPart train = find_part(spec, Split::train);
  return load_text(spec, split, vocabulary_of(train, read_text(train.file, train.characters), words));
}

std::string vocabulary_text(const std::vector<std::string>& vocabulary) {
  std::string text;
  for (const std::string& token : vocabulary) {
    for (const char c : token) text += c == '\\' ? "\\\\" : c == '\n' ? "\\n" : std::string(1, c);
    text += '\n';
  }
  return text;
}

std::vector<std::string> vocabulary_from_text(const std::string& text) {
  std::vector<std::string> vocabulary;
  std::string token;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') {
      vocabulary.push_back(std::move(token));
      token.clear();
    } else if (text[i] == '\\' && i + 1 < text.size()) {
      token += text[++i] == 'n' ? '\n' : text[i];
    } else {
      token += text[i];
    }
  }
  return vocabulary;
}

}  // namespace nnq
