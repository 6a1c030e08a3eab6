// Small text helpers shared by the rooms.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nnq {

/// Shell-like pattern: * any run (dots included), ? one character, [abc] one of a set. No escapes.
bool glob_match(std::string_view pattern, std::string_view name);

/// "0.03" or a fraction "8/255" as a finite number; nullopt for anything else.
std::optional<double> parse_fraction(std::string_view text);

/// Number of single-character edits between two words.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `word`, or "" when none is near enough to be what was meant.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// A word of a command line that a shell takes as it is: quoted where it must be.
std::string shell_word(const std::string& word);

/// "did you mean 'x'?" or, when nothing is near, "known: a, b, c".
std::string suggestion(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace nnq
