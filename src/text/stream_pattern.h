#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct pcre2_real_code_8;

namespace slora {

// A pattern that is searched for in a text that arrives in pieces. Dots match newlines. Immutable; any number of threads.
class StreamPattern {
 public:
  // What the searched text is a part of.
  struct Place {
    bool is_at_start = true;  // nothing came before it
    bool is_complete = true;  // nothing follows it
  };
  struct Match {
    std::size_t begin = 0, end = 0;
    bool is_partial = false;  // what follows decides whether this is a match, and how long it is
    std::map<std::string, std::string, std::less<>> groups;
  };

  // The syntax that PCRE2 and Python share. Named groups are part of each match.
  [[nodiscard]] static Result<StreamPattern> compile(std::string_view pattern);
  // Matches any of these; the longest of those that begin at the same place.
  [[nodiscard]] static Result<StreamPattern> compile_literals(std::span<const std::string> texts);

  // The first match that begins at `from` or later, or nothing. A partial one is returned where it begins before every whole one. No more
  // than kMatchBytesMax bytes match: what would be longer is no match, and neither is what backtracks too often. Requires:
  // `text` is valid UTF-8.
  [[nodiscard]] std::optional<Match> find(std::string_view text, std::size_t from, Place place) const;
  [[nodiscard]] bool has_group(std::string_view name) const { return groups_.contains(name); }
  // Whether a match may contain this text, as far as the pattern's literal text tells.
  [[nodiscard]] bool mentions(std::string_view text) const { return literal_text_.find(text) != std::string::npos; }

  static constexpr std::size_t kMatchBytesMax = 4096;

 private:
  struct Release {
    void operator()(pcre2_real_code_8* code) const;
  };
  [[nodiscard]] static Result<StreamPattern> make(std::string_view pattern, std::string literal_text);
  StreamPattern() = default;

  std::shared_ptr<const pcre2_real_code_8> code_;             // shared, so that fields with a pattern are copyable
  std::map<std::string, std::uint32_t, std::less<>> groups_;  // by name
  std::string literal_text_;                                  // the pattern without its backslashes
};

}  // namespace slora
