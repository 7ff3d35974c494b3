#include "text/bpe.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <queue>
#include <utility>

#include "base/check.h"
#include "text/python_text.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace slora {
namespace {

constexpr std::int32_t kNone = -1;
constexpr std::size_t kPartCharactersMax = std::size_t{1} << 20;

// A merge that was possible when it was queued: the token at `position` with its right neighbour.
struct Candidate {
  std::uint32_t rank;
  std::int32_t position;
  TokenId merged;
};
struct IsLater {
  bool operator()(const Candidate& a, const Candidate& b) const { return a.rank != b.rank ? a.rank > b.rank : a.position > b.position; }
};

Result<std::pair<std::string_view, std::string_view>> merge_at(const Json& merge, std::size_t index) {
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos) {
      return std::pair(text.substr(0, space), text.substr(space + 1));
    }
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return std::pair<std::string_view, std::string_view>(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>());
  }
  return error("E_TOKENIZER", "tokenizer.json: model: merge {} is neither \"a b\" nor [\"a\", \"b\"]: {}", index, shown(merge));
}

// "<0x0A>"
bool is_byte_token(std::string_view text) { return text.size() == 6 && text.starts_with("<0x") && text.ends_with('>'); }

Result<Vocabulary> read_vocabulary(const Json& model) {
  const Json* entries = find_member(model, "vocab");
  if (entries == nullptr || !entries->is_object()) return error("E_TOKENIZER", "tokenizer.json: model: \"vocab\" must be an object");
  Vocabulary vocabulary;
  for (const auto& [text, id] : entries->items()) {
    if (!id.is_number_integer()) return error("E_TOKENIZER", "tokenizer.json: model: the id of \"{}\" is {}", text, shown(id));
    if (Status status = vocabulary.add(text, id.get<std::int64_t>()); !status) return forward_error(status);
  }
  return vocabulary;
}

}  // namespace

Bpe::Bpe(Vocabulary vocabulary, Merges merges)
    : vocabulary_(std::move(vocabulary)), merges_(std::move(merges.table)), joints_(std::move(merges.joints)) {
  std::size_t id_count = 0;
  for (std::size_t id = 0; id < vocabulary_.size(); ++id) id_count += vocabulary_.contains(static_cast<TokenId>(id)) ? 1 : 0;
  has_own_ids_ = id_count == vocabulary_.token_count();
  for (unsigned byte = 0; byte < 256; ++byte) byte_tokens_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(kNone);
}

Result<Bpe> Bpe::from_json(const Json& tokenizer_json) {
  Result<const Json*> part = part_at(tokenizer_json, "model");
  if (!part) return forward_error(part);
  if (*part == nullptr) return error("E_TOKENIZER", "tokenizer.json has no \"model\"");
  const Json& model = **part;
  if (Status status = check_options(model); !status) return forward_error(status);
  Result<Vocabulary> vocabulary = read_vocabulary(model);
  if (!vocabulary) return forward_error(vocabulary);
  Result<Merges> merges = read_merges(model, *vocabulary);
  if (!merges) return forward_error(merges);

  const bool joins_bytes = merges->joins_bytes;
  Bpe bpe(std::move(*vocabulary), std::move(*merges));
  const auto read_flag = [&model](bool& out, std::string_view key) -> Status {
    Result<bool> flag = flag_at(model, key, false);
    if (!flag) return forward_error(flag);
    out = *flag;
    return {};
  };
  if (Status status = read_flag(bpe.byte_fallback_, "byte_fallback"); !status) return forward_error(status);
  const bool has_all_bytes = std::ranges::find(bpe.byte_tokens_, kNone) == bpe.byte_tokens_.end();
  bpe.bytes_stand_alone_ = bpe.byte_fallback_ && has_all_bytes && !joins_bytes;
  if (Status status = read_flag(bpe.fuse_unknown_, "fuse_unk"); !status) return forward_error(status);
  if (Status status = read_flag(bpe.ignore_merges_, "ignore_merges"); !status) return forward_error(status);
  Result<std::optional<std::string>> unknown = optional_string_at(model, "unk_token");
  if (!unknown) return forward_error(unknown);
  if (unknown->has_value()) {
    bpe.unknown_ = bpe.vocabulary_.find(**unknown);
    if (!bpe.unknown_) return error("E_TOKENIZER", "tokenizer.json: model: unk_token \"{}\" is not in the vocabulary", **unknown);
  }
  return bpe;
}

// What is done with unknown characters counts only where there can be any: transformers 5 saves the tokenizers of Llama 2 without
// "unk_token".
bool Bpe::operator==(const Bpe& other) const {
  const bool same_unknown = unknown_ == other.unknown_ && fuse_unknown_ == other.fuse_unknown_;
  return vocabulary_ == other.vocabulary_ && merges_ == other.merges_ && byte_fallback_ == other.byte_fallback_ &&
         ignore_merges_ == other.ignore_merges_ && (same_unknown || !meets_unknown_characters());
}

// A character outside of the vocabulary is unknown unless all of its bytes have tokens.
bool Bpe::meets_unknown_characters() const { return !byte_fallback_ || std::ranges::find(byte_tokens_, kNone) != byte_tokens_.end(); }

Status Bpe::check_options(const Json& model) {
  Result<std::optional<std::string>> type = optional_string_at(model, "type");
  if (!type) return forward_error(type);
  // Older files have no "type"; they are BPE when they have merges.
  const std::string name = type->value_or(find_member(model, "merges") != nullptr ? "BPE" : "unknown");
  if (name != "BPE") return unsupported_step("model", name);
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    Result<std::optional<std::string>> affix = optional_string_at(model, key);
    if (!affix) return forward_error(affix);
    if (affix->has_value() && !(*affix)->empty())
      return error("E_TOKENIZER", "tokenizer.json: model: {} \"{}\" is not supported", key, **affix);
  }
  Result<std::optional<double>> dropout = optional_number_at(model, "dropout");
  if (!dropout) return forward_error(dropout);
  if (dropout->value_or(0) != 0) return error("E_TOKENIZER", "tokenizer.json: model: dropout {} is not supported", **dropout);
  return {};
}

Result<Bpe::Merges> Bpe::read_merges(const Json& model, const Vocabulary& vocabulary) {
  const Json* entries = find_member(model, "merges");
  if (entries == nullptr || !entries->is_array()) return error("E_TOKENIZER", "tokenizer.json: model: \"merges\" must be a list");
  Merges merges{MergeTable(entries->size()), {}, false};
  std::uint32_t rank = 0;
  for (const Json& entry : *entries) {
    if (entry.is_string() && entry.get_ref<const std::string&>().starts_with("#version")) continue;
    Result<std::pair<std::string_view, std::string_view>> pair = merge_at(entry, rank);
    if (!pair) return forward_error(pair);
    const std::optional<TokenId> left = vocabulary.find(pair->first);
    const std::optional<TokenId> right = vocabulary.find(pair->second);
    const std::optional<TokenId> merged = vocabulary.find(std::string(pair->first).append(pair->second));
    if (!left || !right || !merged) {
      return error("E_TOKENIZER", "tokenizer.json: model: merge {} (\"{}\" with \"{}\") names a token outside the vocabulary", rank,
                   pair->first, pair->second);
    }
    merges.table.add(*left, *right, {rank++, *merged});
    merges.joints.add(pair->first, pair->second);
    merges.joins_bytes = merges.joins_bytes || is_byte_token(pair->first) || is_byte_token(pair->second);
  }
  merges.joints.seal();
  return merges;
}

Result<std::vector<TextRange>> Bpe::parts_of(std::string_view word) const {
  std::vector<TextRange> parts;
  const bool is_whole = ignore_merges_ && vocabulary_.find(word).has_value();
  for (std::size_t begin = 0; begin < word.size();) {
    const std::size_t end = is_whole ? word.size() : end_of_part(word, begin);
    if (end - begin > kPartCharactersMax) {
      const std::int64_t count = count_code_points(word.substr(begin, end - begin));
      if (count > static_cast<std::int64_t>(kPartCharactersMax)) {
        return error("invalid_request_error",
                     "The text has a stretch of {} characters that the tokenizer has to encode as one; expected at most {}.", count,
                     kPartCharactersMax);
      }
    }
    parts.push_back({begin, end});
    begin = end;
  }
  return parts;
}

// Both characters at the cut are tokens themselves, or there are only such and bytes: no unknown token, which may stand for several
// characters, is near.
std::size_t Bpe::end_of_part(std::string_view word, std::size_t begin) const {
  std::size_t at = begin + kPartBytesMin;
  if (!has_own_ids_ || at >= word.size()) return word.size();
  while ((static_cast<unsigned char>(word[at]) & 0xC0) == 0x80) --at;
  CodePoint before = last_code_point(word.substr(0, at));
  bool is_token = vocabulary_.find(word.substr(at - before.bytes, before.bytes)).has_value();
  while (at < word.size()) {
    const CodePoint after = first_code_point(word.substr(at));
    const bool was_token = std::exchange(is_token, vocabulary_.find(word.substr(at, after.bytes)).has_value());
    const bool is_joined = was_token && is_token ? joints_.joins(before.value, after.value) : !bytes_stand_alone_;
    if (!is_joined) return at;
    before = after;
    at += after.bytes;
  }
  return at;
}

std::size_t Bpe::encode(std::string_view word, const TextRange& part, std::vector<TokenId>& out) const {
  check(part.end - part.begin <= std::numeric_limits<std::int32_t>::max(), "expected a word shorter than 2 GiB");
  if (ignore_merges_ && part.end - part.begin == word.size()) {
    if (const std::optional<TokenId> token = vocabulary_.find(word)) {
      out.push_back(*token);
      return 1;
    }
  }
  std::vector<Symbol> symbols = start_symbols(word.substr(part.begin, part.end - part.begin));
  const std::size_t merges_considered = merge_all(symbols);
  for (const Symbol& symbol : symbols) {
    if (symbol.token != kNone) out.push_back(symbol.token);
  }
  return merges_considered;
}

// One symbol per character, or per byte of a character that the vocabulary lacks, or the unknown token for it. A pending
// unknown token is added before the next character's own token; one that byte tokens follow comes after them, as in
// `tokenizers`.
std::vector<Bpe::Symbol> Bpe::start_symbols(std::string_view word) const {
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  bool unknown_pending = false;
  const auto add = [&symbols](TokenId token) {
    const auto index = static_cast<std::int32_t>(symbols.size());
    if (index > 0) symbols.back().next = index;
    symbols.push_back({token, index - 1, kNone});
  };
  while (!word.empty()) {
    const std::string_view character = word.substr(0, first_code_point(word).bytes);
    word.remove_prefix(character.size());
    if (const std::optional<TokenId> token = vocabulary_.find(character)) {
      if (std::exchange(unknown_pending, false)) add(*unknown_);
      add(*token);
    } else if (byte_fallback_ && has_byte_tokens(character)) {
      for (const char byte : character) add(byte_tokens_[static_cast<unsigned char>(byte)]);
    } else if (unknown_) {
      if (unknown_pending && !fuse_unknown_) add(*unknown_);
      unknown_pending = true;
    }
  }
  if (unknown_pending) add(*unknown_);
  return symbols;
}

bool Bpe::has_byte_tokens(std::string_view character) const {
  for (const char byte : character) {
    if (byte_tokens_[static_cast<unsigned char>(byte)] == kNone) return false;
  }
  return true;
}

// Always applies the merge of the lowest rank, the leftmost of equal ones. Candidates that an earlier merge made obsolete are
// recognised when they are taken from the queue: the pair at their position no longer merges into their token.
std::size_t Bpe::merge_all(std::vector<Symbol>& symbols) const {
  std::vector<Candidate> heap;
  heap.reserve(symbols.size());
  std::priority_queue<Candidate, std::vector<Candidate>, IsLater> queue(IsLater{}, std::move(heap));
  std::size_t considered = 0;
  const auto consider = [&](std::int32_t left, std::int32_t right) {
    ++considered;
    const Merge* merge = merges_.find(symbols[left].token, symbols[right].token);
    if (merge != nullptr) queue.push({merge->rank, left, merge->merged});
  };
  for (std::int32_t i = 0; i + 1 < std::ssize(symbols); ++i) consider(i, i + 1);

  while (!queue.empty()) {
    const Candidate candidate = queue.top();
    queue.pop();
    Symbol& left = symbols[candidate.position];
    if (left.token == kNone || left.next == kNone) continue;
    Symbol& right = symbols[left.next];
    const Merge* merge = merges_.find(left.token, right.token);
    if (merge == nullptr || merge->merged != candidate.merged) continue;

    left.token = candidate.merged;
    left.next = right.next;
    right.token = kNone;
    if (left.next != kNone) {
      symbols[left.next].previous = candidate.position;
      consider(candidate.position, left.next);
    }
    if (left.previous != kNone) consider(left.previous, candidate.position);
  }
  return considered;
}

}  // namespace slora
