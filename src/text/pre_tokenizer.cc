#include "text/pre_tokenizer.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "text/byte_level.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace slora {
namespace {

constexpr std::string_view kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// \w+|[^\w\s]+ with the character classes of Rust's regex crate, which differ from Oniguruma's.
constexpr std::string_view kWordsOrSymbols =
    R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}\s]+)";

// Rewrites each piece: `append(out, piece, index)` appends the replacement.
template <class Append>
void rewrite_pieces(CutText& text, const Append& append) {
  std::string out;
  out.reserve(text.text.size() + text.text.size() / 2);
  for (std::size_t i = 0; i < text.pieces.size(); ++i) {
    const std::size_t begin = out.size();
    append(out, text.piece(text.pieces[i]), i);
    text.pieces[i] = {begin, out.size()};
  }
  text.text = std::move(out);
}

}  // namespace

Result<PreTokenizer> PreTokenizer::from_json(const Json& tokenizer_json) {
  Result<const Json*> part = part_at(tokenizer_json, "pre_tokenizer");
  if (!part) return forward_error(part);
  PreTokenizer pre_tokenizer;
  if (*part != nullptr) {
    if (Status status = pre_tokenizer.add(**part, "pre_tokenizer"); !status) return forward_error(status);
  }
  return pre_tokenizer;
}

Status PreTokenizer::apply(CutText& text) const {
  for (const Step& step : steps_) {
    if (Status status = std::visit([&](const auto& kind) { return run(kind, text); }, step); !status) return status;
  }
  return {};
}

Status PreTokenizer::add(const Json& step, const std::string& path) {
  Result<std::string> type = type_at(step, path);
  if (!type) return forward_error(type);
  if (*type == "Sequence") {
    return add_steps(step, "pretokenizers", path, [this](const Json& member, const std::string& at) { return add(member, at); });
  }
  if (*type == "Split") return add_split(step, path);
  if (*type == "ByteLevel") return add_byte_level(step);
  if (*type == "Metaspace") return add_metaspace(step, path);
  if (*type == "Whitespace") return add_regex(kWordsOrSymbols, Behavior::removed);
  if (*type == "WhitespaceSplit") {
    steps_.emplace_back(SplitCharacters{Characters::white_space, Behavior::removed});
    return {};
  }
  if (*type == "Digits") {
    Result<bool> individual = flag_at(step, "individual_digits", false);
    if (!individual) return forward_error(individual);
    steps_.emplace_back(SplitCharacters{Characters::numeric, *individual ? Behavior::isolated : Behavior::contiguous});
    return {};
  }
  if (*type == "Punctuation") {
    Result<Behavior> behavior = find_member(step, "behavior") == nullptr ? Behavior::isolated : behavior_at(step);
    if (!behavior) return forward_error(behavior);
    steps_.emplace_back(SplitCharacters{Characters::punctuation, *behavior});
    return {};
  }
  return unsupported_step(path, *type);
}

Status PreTokenizer::add_split(const Json& step, const std::string& path) {
  Result<Regex> pattern = pattern_at(step, path);
  if (!pattern) return forward_error(pattern);
  Result<Behavior> behavior = behavior_at(step);
  if (!behavior) return forward_error(behavior);
  Result<bool> invert = flag_at(step, "invert", false);
  if (!invert) return forward_error(invert);
  steps_.emplace_back(Split{std::move(*pattern), *behavior, *invert});
  return {};
}

Status PreTokenizer::add_byte_level(const Json& step) {
  Result<bool> add_prefix_space = flag_at(step, "add_prefix_space", true);
  if (!add_prefix_space) return forward_error(add_prefix_space);
  Result<bool> use_regex = flag_at(step, "use_regex", true);
  if (!use_regex) return forward_error(use_regex);
  if (*add_prefix_space) steps_.emplace_back(AddPrefixSpace{});
  if (*use_regex) {
    Result<Regex> pattern = Regex::compile(kGpt2Pattern);
    if (!pattern) return forward_error(pattern);
    steps_.emplace_back(Split{std::move(*pattern), Behavior::isolated, false});
  }
  steps_.emplace_back(ByteLevel{});
  return {};
}

Status PreTokenizer::add_metaspace(const Json& step, const std::string& path) {
  Result<char32_t> replacement = character_at(step, "replacement", path);
  if (!replacement) return forward_error(replacement);
  Metaspace metaspace{{}, PrependScheme::always};
  append_utf8(metaspace.replacement, *replacement);
  Result<std::optional<std::string>> scheme = optional_string_at(step, "prepend_scheme");
  if (!scheme) return forward_error(scheme);
  if (scheme->has_value()) {
    if (**scheme == "first") {
      metaspace.scheme = PrependScheme::first;
    } else if (**scheme == "never") {
      metaspace.scheme = PrependScheme::never;
    } else if (**scheme != "always") {
      return error("E_TOKENIZER", "tokenizer.json: pre_tokenizer: prepend_scheme \"{}\" is not supported", **scheme);
    }
  }
  // Older files have add_prefix_space instead, which sets the scheme only if it is false.
  Result<bool> add_prefix_space = flag_at(step, "add_prefix_space", true);
  if (!add_prefix_space) return forward_error(add_prefix_space);
  if (!*add_prefix_space && !scheme->has_value()) metaspace.scheme = PrependScheme::never;
  Result<bool> split = flag_at(step, "split", true);
  if (!split) return forward_error(split);

  Result<Regex> pattern = Regex::compile_literal(metaspace.replacement);
  if (!pattern) return forward_error(pattern);
  steps_.emplace_back(std::move(metaspace));
  if (*split) steps_.emplace_back(Split{std::move(*pattern), Behavior::merged_with_next, false});
  return {};
}

Status PreTokenizer::add_regex(std::string_view pattern, Behavior behavior) {
  Result<Regex> regex = Regex::compile(pattern);
  if (!regex) return forward_error(regex);
  steps_.emplace_back(Split{std::move(*regex), behavior, true});
  return {};
}

Result<PreTokenizer::Behavior> PreTokenizer::behavior_at(const Json& step) {
  Result<std::string> name = string_at(step, "behavior");
  if (!name) return forward_error(name);
  if (*name == "Removed") return Behavior::removed;
  if (*name == "Isolated") return Behavior::isolated;
  if (*name == "Contiguous") return Behavior::contiguous;
  if (*name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (*name == "MergedWithNext") return Behavior::merged_with_next;
  return error("E_TOKENIZER", "tokenizer.json: pre_tokenizer: behavior \"{}\" is not supported", *name);
}

// Appends the pieces that the stretches of one piece become, as the stretches are found.
class PreTokenizer::PieceCutter {
 public:
  // `offset`: where the piece begins in the text.
  PieceCutter(std::vector<TextRange>& out, std::size_t offset, Behavior behavior)
      : out_(out), first_(out.size()), offset_(offset), behavior_(behavior) {}
  ~PieceCutter() { drop_empty(); }
  PieceCutter(const PieceCutter&) = delete;
  PieceCutter& operator=(const PieceCutter&) = delete;

  void add(const Stretch& stretch) {
    const std::optional<bool> previous = std::exchange(previous_matches_, stretch.matches);
    if (behavior_ == Behavior::removed && stretch.matches) return;
    if (previous && is_joined(*previous, stretch.matches)) {
      out_.back().end = offset_ + stretch.range.end;
    } else {
      drop_empty();
      out_.push_back({offset_ + stretch.range.begin, offset_ + stretch.range.end});
    }
  }

 private:
  [[nodiscard]] bool is_joined(bool left_matches, bool right_matches) const {
    if (behavior_ == Behavior::contiguous) return left_matches == right_matches;
    if (behavior_ == Behavior::merged_with_previous) return right_matches && !left_matches;
    if (behavior_ == Behavior::merged_with_next) return left_matches && !right_matches;
    return false;
  }
  // An empty match affects what is joined, but is no piece.
  void drop_empty() {
    if (out_.size() > first_ && out_.back().begin == out_.back().end) out_.pop_back();
  }

  std::vector<TextRange>& out_;
  const std::size_t first_, offset_;
  const Behavior behavior_;
  std::optional<bool> previous_matches_;  // of the stretch before
};

Status PreTokenizer::run(const Split& step, CutText& text) {
  std::vector<TextRange> pieces;
  for (const TextRange& range : text.pieces) {
    PieceCutter cutter(pieces, range.begin, step.behavior);
    if (Status found = cut(cutter, text.piece(range), step); !found) return found;
  }
  text.replace_pieces(std::move(pieces));
  return {};
}

Status PreTokenizer::run(const SplitCharacters& step, CutText& text) {
  std::vector<TextRange> pieces;
  for (const TextRange& range : text.pieces) {
    PieceCutter cutter(pieces, range.begin, step.behavior);
    cut(cutter, text.piece(range), step.characters);
  }
  text.replace_pieces(std::move(pieces));
  return {};
}

Status PreTokenizer::run(const AddPrefixSpace&, CutText& text) {
  rewrite_pieces(text, [](std::string& out, std::string_view piece, std::size_t) {
    if (!piece.starts_with(' ')) out += ' ';
    out += piece;
  });
  return {};
}

Status PreTokenizer::run(const ByteLevel&, CutText& text) {
  rewrite_pieces(text, [](std::string& out, std::string_view piece, std::size_t) { out += to_byte_level(piece); });
  return {};
}

Status PreTokenizer::run(const Metaspace& step, CutText& text) {
  rewrite_pieces(text, [&](std::string& out, std::string_view piece, std::size_t index) {
    const bool wants_prefix =
        step.scheme == PrependScheme::always || (step.scheme == PrependScheme::first && index == 0 && text.opens_input);
    if (wants_prefix && !piece.starts_with(' ') && !piece.starts_with(step.replacement)) out += step.replacement;
    for (const char c : piece) {
      if (c == ' ') {
        out += step.replacement;
      } else {
        out += c;
      }
    }
  });
  return {};
}

Status PreTokenizer::cut(PieceCutter& cutter, std::string_view piece, const Split& step) {
  std::size_t covered = 0;
  Status found = step.pattern.visit_all(piece, [&](const TextRange& match) {
    if (covered != match.begin) cutter.add({{covered, match.begin}, step.invert});
    cutter.add({match, !step.invert});
    covered = match.end;
  });
  if (found && covered != piece.size()) cutter.add({{covered, piece.size()}, step.invert});
  return found;
}

void PreTokenizer::cut(PieceCutter& cutter, std::string_view piece, Characters characters) {
  const auto matches = [characters](char32_t c) {
    switch (characters) {
      case Characters::numeric:
        return is_numeric(c);
      case Characters::white_space:
        return is_white_space(c);
      case Characters::punctuation:
        return is_punctuation(c);
    }
    return false;
  };
  std::size_t covered = 0;  // up to here stretches are added; what follows does not match
  for (std::size_t at = 0; at < piece.size();) {
    const CodePoint next = first_code_point(piece.substr(at));
    if (matches(next.value)) {
      if (covered != at) cutter.add({{covered, at}, false});
      covered = at + next.bytes;
      cutter.add({{at, covered}, true});
    }
    at += next.bytes;
  }
  if (covered != piece.size()) cutter.add({{covered, piece.size()}, false});
}

}  // namespace slora
