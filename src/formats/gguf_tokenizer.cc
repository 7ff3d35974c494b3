#include "formats/gguf_tokenizer.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "formats/json.h"

namespace slora {
namespace {

constexpr std::string_view kSpaceOfPieces = "\u2581";  // of SentencePiece
constexpr std::size_t kTokenBytesMax = 1024;           // SentencePiece's own limit is far below
constexpr std::size_t kNamedTemplatesMax = 64;
// Texts of control tokens that end an answer or a turn of it, and nothing else, in the models that have them.
constexpr std::array<std::string_view, 9> kEndTexts = {"<|eot_id|>",      "<|im_end|>", "<|end|>",         "<end_of_turn>", "<|endoftext|>",
                                                       "<|end_of_text|>", "<|eom_id|>", "<|end_of_turn|>", "<EOT>"};

enum class TokenType : std::int64_t { normal = 1, unknown, control, user_defined, unused, byte };

bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(Json(text).dump());
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

std::string token_entry(std::string_view name) { return fmt::format("entry \"tokenizer.ggml.{}\"", name); }

// Nothing if there is no such entry.
template <class T>
Result<const T*> optional_token_entry(const GgufFile& file, std::string_view name) {
  const GgufValue* const value = file.find(fmt::format("tokenizer.ggml.{}", name));
  if (value == nullptr) return nullptr;
  if (const T* const found = std::get_if<T>(value)) return found;
  return error("E_TOKENIZER", "{}: expected {}, found {}", token_entry(name), type_name(GgufValue(T())), type_name(*value));
}

template <class T>
Result<const T*> required_token_entry(const GgufFile& file, std::string_view name) {
  Result<const T*> found = optional_token_entry<T>(file, name);
  if (found && *found == nullptr) return error("E_TOKENIZER", "{}: expected {}, found none", token_entry(name), type_name(GgufValue(T())));
  return found;
}

Result<bool> token_flag(const GgufFile& file, std::string_view name, bool fallback) {
  const Result<const bool*> found = optional_token_entry<bool>(file, name);
  if (!found) return tl::unexpected(found.error());
  return *found != nullptr ? **found : fallback;
}

// The tokens, each with a text of its own.
class Tokens {
 public:
  static Result<Tokens> read(const GgufFile& file) {
    const Result<const std::vector<std::string>*> texts = required_token_entry<std::vector<std::string>>(file, "tokens");
    if (!texts) return tl::unexpected(texts.error());
    Tokens tokens(**texts);
    if (Status read = tokens.read_types(file); !read) return forward_error(read);
    for (std::size_t id = 0; id < tokens.texts_.size(); ++id) {
      const std::string& text = tokens.texts_[id];
      if (text.size() > kTokenBytesMax || !is_utf8(text)) {
        return error("E_TOKENIZER", "{}: token {}: expected at most {} bytes of UTF-8, found {}", token_entry("tokens"), id, kTokenBytesMax,
                     quote(text));
      }
      if (tokens.types_[id] == TokenType::unused) continue;
      if (text.empty()) return error("E_TOKENIZER", "{}: token {}: expected a text, found an empty one", token_entry("tokens"), id);
      const auto [at, is_new] = tokens.ids_.emplace(text, static_cast<std::int64_t>(id));
      if (!is_new)
        return error("E_TOKENIZER", "{}: token {}: expected a text of its own, found {}, which is token {}", token_entry("tokens"), id,
                     quote(text), at->second);
    }
    return tokens;
  }

  [[nodiscard]] std::size_t size() const { return texts_.size(); }
  [[nodiscard]] const std::string& text(std::size_t id) const { return texts_[id]; }
  [[nodiscard]] TokenType type(std::size_t id) const { return types_[id]; }
  [[nodiscard]] bool is_added(std::size_t id) const { return types_[id] == TokenType::control || types_[id] == TokenType::user_defined; }
  // -1 where there is none.
  [[nodiscard]] std::int64_t id_of(std::string_view text) const {
    const auto found = ids_.find(text);
    return found == ids_.end() ? -1 : found->second;
  }

  // The id that an entry names; nothing where there is no such entry.
  [[nodiscard]] Result<std::optional<std::int64_t>> id_at(const GgufFile& file, std::string_view name) const {
    const Result<const std::int64_t*> id = optional_token_entry<std::int64_t>(file, name);
    if (!id) return tl::unexpected(id.error());
    if (*id == nullptr || **id == -1 || **id == UINT32_MAX) return std::nullopt;
    if (**id < 0 || **id >= static_cast<std::int64_t>(size()))
      return error("E_TOKENIZER", "{}: expected 0 to {}, found {}", token_entry(name), size() - 1, **id);
    return **id;
  }

 private:
  explicit Tokens(const std::vector<std::string>& texts) : texts_(texts), types_(texts.size(), TokenType::normal) {}

  Status read_types(const GgufFile& file) {
    const Result<const std::vector<std::int64_t>*> types = optional_token_entry<std::vector<std::int64_t>>(file, "token_type");
    if (!types) return tl::unexpected(types.error());
    if (*types == nullptr) return {};
    if ((*types)->size() != texts_.size())
      return error("E_TOKENIZER", "{}: expected {} types, one for each token, found {}", token_entry("token_type"), texts_.size(),
                   (*types)->size());
    for (std::size_t id = 0; id < texts_.size(); ++id) {
      const std::int64_t type = (**types)[id];
      if (type < 1 || type > 6) return error("E_TOKENIZER", "{}: token {}: expected 1 to 6, found {}", token_entry("token_type"), id, type);
      types_[id] = static_cast<TokenType>(type);
    }
    return {};
  }

  const std::vector<std::string>& texts_;  // of the file
  std::vector<TokenType> types_;
  std::unordered_map<std::string_view, std::int64_t> ids_;  // but of unused tokens
};

// Makes the tokenizer of one file.
class TokenizerMaker {
 public:
  TokenizerMaker(const GgufFile& file, const Tokens& tokens) : file_(file), tokens_(tokens) {}

  Result<TokenizerFiles> make() {
    const Result<const std::string*> model = required_token_entry<std::string>(file_, "model");
    if (!model) return tl::unexpected(model.error());
    if (**model != "gpt2" && **model != "llama") {
      return error("E_TOKENIZER", "{}: expected gpt2 or llama, found {}; such a tokenizer is not served", token_entry("model"),
                   quote(**model));
    }
    add_vocabulary();
    if (Status made = **model == "gpt2" ? make_byte_level() : make_sentencepiece(); !made) return forward_error(made);
    if (Status added = add_ends(); !added) return forward_error(added);
    if (Status added = add_texts(); !added) return forward_error(added);
    made_.tokenizer = std::make_unique<Json>(std::move(json_));
    return std::move(made_);
  }

 private:
  // Tokens after the last word are no part of the model's vocabulary, as in the tokenizer.json of most models; but where ids are left out
  // before one of them, they are, so that each can keep its id.
  void add_vocabulary() {
    std::size_t end = tokens_.size();
    while (end > 0 && tokens_.type(end - 1) == TokenType::unused) --end;
    words_end_ = end;
    while (words_end_ > 0 && tokens_.is_added(words_end_ - 1)) --words_end_;
    for (std::size_t id = 0; id < words_end_; ++id) {
      if (tokens_.type(id) == TokenType::unused) words_end_ = end;
    }
    Json vocabulary = Json::object(), added = Json::array();
    for (std::size_t id = 0; id < end; ++id) {
      if (tokens_.type(id) == TokenType::unused) continue;
      if (id < words_end_) vocabulary.get_ref<Json::object_t&>().push_back({tokens_.text(id), id});
      if (!tokens_.is_added(id)) continue;
      added.push_back({{"id", id},
                       {"content", tokens_.text(id)},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", tokens_.type(id) == TokenType::control}});
    }
    json_ = {{"added_tokens", std::move(added)}, {"model", {{"type", "BPE"}, {"vocab", std::move(vocabulary)}}}};
  }

  // Words by a pattern, then merges of texts that stand for bytes.
  Status make_byte_level() {
    const Result<const std::string*> pre = optional_token_entry<std::string>(file_, "pre");
    if (!pre) return tl::unexpected(pre.error());
    const std::string name = *pre != nullptr ? **pre : "default";
    const GgufWords* const words = find_gguf_words(name);
    if (words == nullptr)
      return error("E_TOKENIZER", "{}: expected the name of a known way to cut texts into words, found {}", token_entry("pre"),
                   quote(name));
    adds_bos_ = words->adds_bos;
    Json steps = Json::array();
    for (const std::string_view pattern : words->patterns) {
      if (!pattern.empty())
        steps.push_back({{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
    }
    Json byte_level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
    steps.push_back(byte_level);
    json_["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
    json_["decoder"] = std::move(byte_level);
    if (words->composes) json_["normalizer"] = {{"type", "NFC"}};
    json_["model"]["ignore_merges"] = words->has_whole_words;
    return take_merges();
  }

  Status take_merges() {
    const Result<const std::vector<std::string>*> merges = required_token_entry<std::vector<std::string>>(file_, "merges");
    if (!merges) return tl::unexpected(merges.error());
    Json list = Json::array();
    for (const std::string& merge : **merges) {
      const std::size_t space = merge.find(' ', 1);
      const bool is_pair = space != std::string::npos && space + 1 < merge.size();
      const std::string_view left = std::string_view(merge).substr(0, is_pair ? space : 0);
      const std::string_view right = std::string_view(merge).substr(is_pair ? space + 1 : 0);
      std::string joined(left);
      joined += right;
      if (!is_pair || !is_word(left) || !is_word(right) || !is_word(joined)) {
        return error("E_TOKENIZER", "{}: merge {}: expected two tokens with a space between, which together are a token, found {}",
                     token_entry("merges"), list.size(), quote(merge));
      }
      list.push_back({left, right});
    }
    json_["model"]["merges"] = std::move(list);
    return {};
  }

  // Whether the model's vocabulary has this text.
  [[nodiscard]] bool is_word(std::string_view text) const {
    const std::int64_t id = tokens_.id_of(text);
    return id >= 0 && static_cast<std::size_t>(id) < words_end_;
  }

  // Merges by scores: two tokens whose texts together are a token become that, the one of the highest score first. Merges of one score have
  // the order that transformers gives them, the longer left side first.
  Status make_sentencepiece() {
    adds_bos_ = true;
    for (const std::string_view name : {"remove_extra_whitespaces", "treat_whitespace_as_suffix"}) {
      const Result<bool> is_set = token_flag(file_, name, false);
      if (!is_set) return tl::unexpected(is_set.error());
      if (*is_set) return error("E_TOKENIZER", "{}: expected false, found true; such a tokenizer is not served", token_entry(name));
    }
    if (const GgufValue* const map = file_.find("tokenizer.ggml.precompiled_charsmap"); map != nullptr)
      return error("E_TOKENIZER", "{}: expected none, found {}; such a tokenizer is not served", token_entry("precompiled_charsmap"),
                   type_name(*map));
    if (Status merged = make_merges(); !merged) return merged;
    const Result<bool> has_prefix = token_flag(file_, "add_space_prefix", true);
    if (!has_prefix) return tl::unexpected(has_prefix.error());
    const Json replace{{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceOfPieces}};
    Json decoders = Json::array({Json{{"type", "Replace"}, {"pattern", {{"String", kSpaceOfPieces}}}, {"content", " "}},
                                 Json{{"type", "ByteFallback"}}, Json{{"type", "Fuse"}}});
    if (*has_prefix) {
      json_["normalizer"] = {{"type", "Sequence"},
                             {"normalizers", Json::array({Json{{"type", "Prepend"}, {"prepend", kSpaceOfPieces}}, replace})}};
      decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    } else {
      json_["normalizer"] = replace;
    }
    json_["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
    Json& model = json_["model"];
    model["byte_fallback"] = true;
    model["fuse_unk"] = true;
    const Result<std::optional<std::int64_t>> unknown = tokens_.id_at(file_, "unknown_token_id");
    if (!unknown) return tl::unexpected(unknown.error());
    if (*unknown) model["unk_token"] = tokens_.text(static_cast<std::size_t>(**unknown));
    return {};
  }

  Status make_merges() {
    const Result<const std::vector<double>*> scores = required_token_entry<std::vector<double>>(file_, "scores");
    if (!scores) return tl::unexpected(scores.error());
    if ((*scores)->size() != tokens_.size())
      return error("E_TOKENIZER", "{}: expected {} scores, one for each token, found {}", token_entry("scores"), tokens_.size(),
                   (*scores)->size());
    struct Merge {
      double score;
      std::size_t left_characters, right_characters;
      std::string_view left, right;
    };
    std::vector<Merge> merges;
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      if (!std::isfinite((**scores)[id]))
        return error("E_TOKENIZER", "{}: token {}: expected a finite number, found {}", token_entry("scores"), id, (**scores)[id]);
      if (tokens_.type(id) != TokenType::normal) continue;
      const std::string_view text = tokens_.text(id);
      const auto is_start = [&](std::size_t at) { return (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80; };
      const auto characters =
          static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
      std::size_t left_characters = 0;
      for (std::size_t at = 1; at < text.size(); ++at) {
        if (!is_start(at)) continue;
        ++left_characters;
        const std::string_view left = text.substr(0, at), right = text.substr(at);
        if (is_piece(left) && is_piece(right))
          merges.push_back({(**scores)[id], left_characters, characters - left_characters, left, right});
      }
    }
    std::ranges::stable_sort(merges, [](const Merge& a, const Merge& b) {
      return std::tuple(-a.score, b.left_characters, b.right_characters) < std::tuple(-b.score, a.left_characters, a.right_characters);
    });
    Json list = Json::array();
    for (const Merge& merge : merges) list.push_back({merge.left, merge.right});
    json_["model"]["merges"] = std::move(list);
    return {};
  }

  [[nodiscard]] bool is_piece(std::string_view text) const {
    const std::int64_t id = tokens_.id_of(text);
    return id >= 0 && tokens_.type(static_cast<std::size_t>(id)) == TokenType::normal;
  }

  // Tokens before and after each text.
  Status add_ends() {
    Json single = Json::array(), special = Json::object();
    const auto add = [&](std::string_view of, bool fallback) -> Status {
      const Result<bool> is_added = token_flag(file_, fmt::format("add_{}_token", of), fallback);
      if (!is_added) return tl::unexpected(is_added.error());
      const std::string id_entry = fmt::format("{}_token_id", of);
      const Result<std::optional<std::int64_t>> id = tokens_.id_at(file_, id_entry);
      if (!id) return tl::unexpected(id.error());
      if (!*is_added) return {};
      if (!*id)
        return error("E_TOKENIZER", "{}: expected the id of a token, as \"add_{}_token\" is true, found none", token_entry(id_entry), of);
      const std::string& text = tokens_.text(static_cast<std::size_t>(**id));
      single.push_back({{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
      special[text] = {{"id", text}, {"ids", Json::array({**id})}, {"tokens", Json::array({text})}};
      return {};
    };
    if (Status added = add("bos", adds_bos_); !added) return added;
    single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    if (Status added = add("eos", false); !added) return added;
    if (!special.empty())
      json_["post_processor"] = {{"type", "TemplateProcessing"}, {"single", std::move(single)}, {"special_tokens", std::move(special)}};
    return {};
  }

  // The texts of special tokens, and the templates.
  Status add_texts() {
    for (const auto& [name, key] : {std::pair("bos", "bos_token"), std::pair("eos", "eos_token"), std::pair("unknown", "unk_token"),
                                    std::pair("padding", "pad_token")}) {
      const Result<std::optional<std::int64_t>> id = tokens_.id_at(file_, fmt::format("{}_token_id", name));
      if (!id) return tl::unexpected(id.error());
      if (*id) made_.special_tokens.emplace(key, tokens_.text(static_cast<std::size_t>(**id)));
    }
    constexpr std::string_view kTemplate = "tokenizer.chat_template";
    for (const auto& [key, value] : file_.entries) {
      if (!key.starts_with(kTemplate) || key == "tokenizer.chat_templates") continue;
      const auto* const text = std::get_if<std::string>(&value);
      if (text == nullptr || !is_utf8(*text))
        return error("E_TOKENIZER", "entry {}: expected a text in UTF-8, found {}", quote(key),
                     text == nullptr ? type_name(value) : "another");
      if (key == kTemplate) {
        made_.chat_template = *text;
      } else if (key[kTemplate.size()] == '.' && made_.named_templates.size() < kNamedTemplatesMax) {
        made_.named_templates.emplace(key.substr(kTemplate.size() + 1), *text);
      }
    }
    return {};
  }

  const GgufFile& file_;
  const Tokens& tokens_;
  TokenizerFiles made_;
  Json json_;
  std::size_t words_end_ = 0;  // of the model's vocabulary
  bool adds_bos_ = false;      // unless the file says otherwise
};

Result<std::vector<std::int64_t>> end_tokens(const GgufFile& file) {
  const Result<Tokens> tokens = Tokens::read(file);
  if (!tokens) return tl::unexpected(tokens.error());
  std::vector<std::int64_t> ends;
  for (const std::string_view name : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    const Result<std::optional<std::int64_t>> id = tokens->id_at(file, name);
    if (!id) return tl::unexpected(id.error());
    if (*id) ends.push_back(**id);
  }
  for (const std::string_view text : kEndTexts) {
    const std::int64_t id = tokens->id_of(text);
    if (id >= 0 && tokens->type(static_cast<std::size_t>(id)) == TokenType::control) ends.push_back(id);
  }
  std::ranges::sort(ends);
  ends.erase(std::ranges::unique(ends).begin(), ends.end());
  return ends;
}

Result<TokenizerFiles> make_tokenizer(const GgufFile& file) {
  const Result<Tokens> tokens = Tokens::read(file);
  if (!tokens) return tl::unexpected(tokens.error());
  return TokenizerMaker(file, *tokens).make();
}

// With the file's name in errors.
template <class T>
Result<T> in_tokenizer_file(const GgufFile& file, Result<T> made) {
  if (!made) return error(made.error().code, "{}: {}", file.file->name(), made.error().message);
  return made;
}

}  // namespace

Result<TokenizerFiles> tokenizer_of_gguf(const GgufFile& file) { return in_tokenizer_file(file, make_tokenizer(file)); }

Result<std::vector<std::int64_t>> end_tokens_of_gguf(const GgufFile& file) { return end_tokens(file); }

}  // namespace slora
