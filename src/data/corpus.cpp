#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "core/atomic_file.h"
#include "nnq/dataset.h"
#include "nnq/error.h"

namespace nnq {
namespace {

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

}  // namespace

Corpus load_corpus(const std::filesystem::path& file, bool characters, const std::vector<std::string>& vocabulary) {
  std::vector<std::byte> bytes;
  throw_if_error(try_read_file(file, std::size_t{2} << 30, bytes));
  const std::vector<std::string> all = units({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, characters);
  if (all.empty()) throw Error("holds no text", file.string());
  Corpus corpus;
  corpus.vocabulary = vocabulary;
  std::unordered_map<std::string, std::int32_t> ids;
  for (std::size_t i = 0; i < vocabulary.size(); ++i) ids.emplace(vocabulary[i], static_cast<std::int32_t>(i));
  const auto unknown = ids.find("<unk>");
  corpus.tokens.reserve(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto it = ids.find(all[i]);
    if (it != ids.end()) {
      corpus.tokens.push_back(it->second);
    } else if (vocabulary.empty()) {  // order of first appearance
      corpus.tokens.push_back(ids.emplace(all[i], static_cast<std::int32_t>(ids.size())).first->second);
      corpus.vocabulary.push_back(all[i]);
    } else if (unknown != ids.end()) {
      corpus.tokens.push_back(unknown->second);
    } else {
      throw Error(fmt::format("token {} ('{}') is not in the vocabulary, which has no <unk>", i, all[i]),
                  file.string());
    }
  }
  return corpus;
}

}  // namespace nnq
