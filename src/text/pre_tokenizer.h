#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "formats/json.h"
#include "text/regex.h"

namespace slora {

// A text that is being split into words: the text as rewritten so far, and its pieces in order. Pieces cover all of the text
// that was not removed, and are never empty.
struct CutText {
  std::string text;
  std::vector<TextRange> pieces;
  bool opens_input = false;  // the first piece is the start of the caller's text

  [[nodiscard]] std::string_view piece(const TextRange& range) const {
    return std::string_view(text).substr(range.begin, range.end - range.begin);
  }
  void replace_pieces(std::vector<TextRange> cut) {
    opens_input = opens_input && !cut.empty() && cut.front().begin == 0;
    pieces = std::move(cut);
  }
};

// The "pre_tokenizer" of a tokenizer.json: splits a text into the words that the model encodes one by one. Immutable; any
// number of threads.
class PreTokenizer {
 public:
  [[nodiscard]] static Result<PreTokenizer> from_json(const Json& tokenizer_json);

  // Fails if a pattern backtracks too often (see Regex::find_all).
  Status apply(CutText& text) const;

 private:
  // What happens to the parts that match (delimiters): they are removed, become pieces, become one piece per run of
  // adjacent matches, or are joined to a neighbour.
  enum class Behavior { removed, isolated, contiguous, merged_with_previous, merged_with_next };
  enum class PrependScheme { always, first, never };
  enum class Characters { numeric, white_space, punctuation };

  struct Split {
    Regex pattern;
    Behavior behavior;
    bool invert;
  };
  struct SplitCharacters {
    Characters characters;
    Behavior behavior;
  };
  struct AddPrefixSpace {};
  struct ByteLevel {};
  struct Metaspace {
    std::string replacement;
    PrependScheme scheme;
  };
  using Step = std::variant<Split, SplitCharacters, AddPrefixSpace, ByteLevel, Metaspace>;

  // A part of a piece that matches, or one between matches.
  struct Stretch {
    TextRange range;
    bool matches;
  };

  static Result<Behavior> behavior_at(const Json& step);
  Status add(const Json& step, const std::string& path);
  Status add_split(const Json& step, const std::string& path);
  Status add_byte_level(const Json& step);
  Status add_metaspace(const Json& step, const std::string& path);
  Status add_regex(std::string_view pattern, Behavior behavior);

  static Status run(const Split& step, CutText& text);
  static Status run(const SplitCharacters& step, CutText& text);
  static Status run(const AddPrefixSpace& step, CutText& text);
  static Status run(const ByteLevel& step, CutText& text);
  static Status run(const Metaspace& step, CutText& text);

  class PieceCutter;
  static Status cut(PieceCutter& cutter, std::string_view piece, const Split& step);
  static void cut(PieceCutter& cutter, std::string_view piece, Characters characters);

  std::vector<Step> steps_;
};

}  // namespace slora
