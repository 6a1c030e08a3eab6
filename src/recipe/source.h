// A recipe's TOML tree and where each of its values was said: line of the file, or "--set".
#pragma once

#include <fmt/format.h>
#include <toml++/toml.h>

#include <map>
#include <string>
#include <string_view>

namespace nnq::recipe {

struct Source {
  std::string name;                               // of the file
  std::map<const toml::node*, std::string> said;  // values of overrides: the --set text

  std::string at(const toml::source_region& region) const {
    return region.begin.line == 0 ? name : fmt::format("{}:{}", name, region.begin.line);
  }
  std::string at(const toml::node& node) const {
    const auto it = said.find(&node);
    return it == said.end() ? at(node.source()) : "--set " + it->second;
  }
};

/// "a string", "an integer", ...
std::string_view article_of(toml::node_type type);

/// TOML text as a tree. Throws nnq::Error naming file, line and column.
toml::table parse_toml(std::string_view text, const std::string& name);

/// Puts the value of one "--set" text into the tree. Throws nnq::Error for a path that leads nowhere.
void apply_override(toml::table& root, const std::string& text, Source& source);

}  // namespace nnq::recipe
