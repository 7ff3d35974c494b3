#include "text/decoder.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "text/byte_level.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace slora {
namespace {

// The byte of a token such as "<0xE4>".
std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned value = 0;
  const char* end = token.data() + 5;
  if (std::from_chars(token.data() + 3, end, value, 16).ptr != end) return std::nullopt;
  return static_cast<char>(static_cast<unsigned char>(value));
}

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string out;
  for (std::size_t at = text.find(pattern); at != std::string_view::npos; at = text.find(pattern)) {
    out.append(text.substr(0, at)).append(content);
    text.remove_prefix(at + pattern.size());
  }
  return out.append(text);
}

std::string without_meta(std::string_view token, char32_t replacement, bool drop) {
  std::string out;
  out.reserve(token.size());
  while (!token.empty()) {
    const CodePoint next = first_code_point(token);
    if (next.value != replacement) {
      out += token.substr(0, next.bytes);
    } else if (!drop) {
      out += ' ';
    }
    token.remove_prefix(next.bytes);
  }
  return out;
}

std::string_view strip_token(std::string_view token, char32_t content, std::size_t start_count, std::size_t stop_count) {
  for (std::size_t i = 0; i < start_count && !token.empty(); ++i) {
    const CodePoint first = first_code_point(token);
    if (first.value != content) break;
    token.remove_prefix(first.bytes);
  }
  for (std::size_t i = 0; i < stop_count && !token.empty(); ++i) {
    const CodePoint last = last_code_point(token);
    if (last.value != content) break;
    token.remove_suffix(last.bytes);
  }
  return token;
}

Result<std::size_t> count_at(const Json& step, std::string_view key) {
  Result<std::int64_t> count = integer_at(step, key);
  if (!count) return forward_error(count);
  if (*count < 0) return error("E_TOKENIZER", "tokenizer.json: decoder: {} must not be negative, found {}", key, *count);
  return static_cast<std::size_t>(*count);
}

}  // namespace

Result<Decoder> Decoder::from_json(const Json& tokenizer_json) {
  Result<const Json*> part = part_at(tokenizer_json, "decoder");
  if (!part) return forward_error(part);
  Decoder decoder;
  if (*part == nullptr) {
    decoder.steps_.emplace_back(JoinWithSpaces{});
  } else if (Status status = decoder.add(**part, "decoder"); !status) {
    return forward_error(status);
  }
  return decoder;
}

bool Decoder::is_joined() const {
  for (const Step& step : steps_) {
    if (std::holds_alternative<Fuse>(step) || std::holds_alternative<ByteLevel>(step)) return true;
  }
  return false;
}

Status Decoder::add(const Json& step, const std::string& path) {
  Result<std::string> type = type_at(step, path);
  if (!type) return forward_error(type);
  if (*type == "Sequence") {
    return add_steps(step, "decoders", path, [this](const Json& member, const std::string& at) { return add(member, at); });
  }
  if (is_joined()) {
    if (*type == "Fuse") return {};
    if (*type != "Strip")
      return error("E_TOKENIZER", "tokenizer.json: decoder of type \"{}\" after Fuse or ByteLevel is not supported", *type);
  }
  Result<Step> parsed = parse_step(step, *type, path);
  if (!parsed) return forward_error(parsed);
  steps_.push_back(std::move(*parsed));
  return {};
}

Result<Decoder::Step> Decoder::parse_step(const Json& step, const std::string& type, const std::string& path) const {
  if (type == "ByteFallback") return ByteFallback{};
  if (type == "ByteLevel") return ByteLevel{};
  if (type == "Fuse") return Fuse{};
  if (type == "Replace") {
    Result<std::string> pattern = literal_pattern_at(step, path);
    if (!pattern) return forward_error(pattern);
    Result<std::string> content = string_at(step, "content");
    if (!content) return forward_error(content);
    return Replace{std::move(*pattern), std::move(*content)};
  }
  if (type == "Metaspace") {
    Result<char32_t> replacement = character_at(step, "replacement", path);
    if (!replacement) return forward_error(replacement);
    Result<std::optional<std::string>> scheme = optional_string_at(step, "prepend_scheme");
    if (!scheme) return forward_error(scheme);
    Result<bool> add_prefix_space = flag_at(step, "add_prefix_space", true);
    if (!add_prefix_space) return forward_error(add_prefix_space);
    return Metaspace{*replacement, scheme->value_or(*add_prefix_space ? "always" : "never") != "never"};
  }
  if (type == "Strip") {
    Result<char32_t> content = character_at(step, "content", path);
    if (!content) return forward_error(content);
    Result<std::size_t> start_count = count_at(step, "start");
    if (!start_count) return forward_error(start_count);
    Result<std::size_t> stop_count = count_at(step, "stop");
    if (!stop_count) return forward_error(stop_count);
    return Strip{*content, *start_count, *stop_count, is_joined()};
  }
  return unsupported_step(path, type);
}

std::string Decoder::token_bytes(std::string_view token) const {
  std::string bytes(token);
  for (const Step& step : steps_) {
    if (const auto* replace = std::get_if<Replace>(&step)) {
      bytes = replace_all(bytes, replace->pattern, replace->content);
    } else if (const auto* metaspace = std::get_if<Metaspace>(&step)) {
      bytes = without_meta(bytes, metaspace->replacement, false);
    } else if (std::holds_alternative<ByteFallback>(step)) {
      if (const std::optional<char> byte = byte_of(bytes)) return std::string(1, *byte);
    } else if (std::holds_alternative<ByteLevel>(step)) {
      return from_byte_level(bytes).value_or(bytes);
    }
  }
  return bytes;
}

DecoderStream::DecoderStream(const Decoder& decoder) : decoder_(&decoder), states_(decoder.steps_.size()) {}

void DecoderStream::push(std::string_view token, std::string& out) { feed(0, token, out); }

void DecoderStream::finish(std::string& out) {
  for (std::size_t index = 0; index < states_.size(); ++index) flush(index, out);
}

void DecoderStream::drop_held_back() {
  for (std::size_t index = 0; index < states_.size(); ++index) {
    State& state = states_[index];
    const Decoder::Step& step = decoder_->steps_[index];
    if (std::holds_alternative<Decoder::ByteFallback>(step)) {
      state.pending.erase(0, state.checked);
      state.checked = 0;
    } else if (std::holds_alternative<Decoder::Strip>(step)) {
      state.pending.clear();
    }
  }
}

void DecoderStream::feed(std::size_t index, std::string_view token, std::string& out) {
  if (index == states_.size()) {
    out += token;
    return;
  }
  std::visit([&](const auto& step) { run(step, index, token, out); }, decoder_->steps_[index]);
}

void DecoderStream::flush(std::size_t index, std::string& out) {
  State& state = states_[index];
  const Decoder::Step& step = decoder_->steps_[index];
  if (std::holds_alternative<Decoder::ByteFallback>(step)) {
    end_byte_run(index, out);
  } else if (std::holds_alternative<Decoder::ByteLevel>(step)) {
    if (!state.pending.empty()) feed(index + 1, kReplacementCharacter, out);
  }
  // The characters that Strip still holds back at the end are those to strip.
}

void DecoderStream::run(const Decoder::JoinWithSpaces&, std::size_t index, std::string_view token, std::string& out) {
  feed(index + 1, std::exchange(states_[index].started, true) ? std::string(" ").append(token) : std::string(token), out);
}

void DecoderStream::run(const Decoder::Replace& step, std::size_t index, std::string_view token, std::string& out) {
  feed(index + 1, replace_all(token, step.pattern, step.content), out);
}

void DecoderStream::run(const Decoder::Metaspace& step, std::size_t index, std::string_view token, std::string& out) {
  const bool is_first = !std::exchange(states_[index].started, true);
  feed(index + 1, without_meta(token, step.replacement, is_first && step.drops_first), out);
}

// A run of byte tokens becomes its text if all of it is valid UTF-8, else one U+FFFD per byte. So no text can be emitted before the
// run ends or is invalid.
void DecoderStream::run(const Decoder::ByteFallback&, std::size_t index, std::string_view token, std::string& out) {
  if (const std::optional<char> byte = byte_of(token)) {
    feed_byte(index, *byte, out);
    return;
  }
  end_byte_run(index, out);
  feed(index + 1, token, out);
}

void DecoderStream::feed_byte(std::size_t index, char byte, std::string& out) {
  State& state = states_[index];
  if (state.is_broken) {
    feed_replacements(index, 1, out);
    return;
  }
  state.pending.push_back(byte);
  const Utf8Unit unit = first_utf8_unit(std::string_view(state.pending).substr(state.checked));
  if (unit.kind == Utf8Kind::character) {
    state.checked += unit.bytes;
  } else if (unit.kind == Utf8Kind::invalid) {
    state.is_broken = true;
    feed_replacements(index, state.pending.size(), out);
  }
}

void DecoderStream::end_byte_run(std::size_t index, std::string& out) {
  State& state = states_[index];
  if (!state.is_broken && !state.pending.empty()) {
    if (state.checked == state.pending.size()) {
      feed(index + 1, state.pending, out);
    } else {
      feed_replacements(index, state.pending.size(), out);
    }
  }
  state.pending.clear();
  state.checked = 0;
  state.is_broken = false;
}

void DecoderStream::feed_replacements(std::size_t index, std::size_t count, std::string& out) {
  for (std::size_t i = 0; i < count; ++i) feed(index + 1, kReplacementCharacter, out);
}

void DecoderStream::run(const Decoder::ByteLevel&, std::size_t index, std::string_view token, std::string& out) {
  State& state = states_[index];
  state.pending += from_byte_level(token).value_or(std::string(token));
  std::string certain;
  move_valid_utf8(state.pending, certain);
  if (!certain.empty()) feed(index + 1, certain, out);
}

void DecoderStream::run(const Decoder::Fuse&, std::size_t index, std::string_view token, std::string& out) {
  if (!token.empty()) feed(index + 1, token, out);
}

void DecoderStream::run(const Decoder::Strip& step, std::size_t index, std::string_view token, std::string& out) {
  if (!step.is_joined) {
    feed(index + 1, strip_token(token, step.content, step.start_count, step.stop_count), out);
    return;
  }
  State& state = states_[index];
  while (state.strips && state.stripped < step.start_count && !token.empty()) {
    const CodePoint first = first_code_point(token);
    state.strips = first.value == step.content;
    if (!state.strips) break;
    token.remove_prefix(first.bytes);
    ++state.stripped;
  }
  // Holds back the last characters if they are stripped at the end of the text.
  std::string text = std::exchange(state.pending, {});
  text += token;
  const std::string_view kept = strip_token(text, step.content, 0, step.stop_count);
  state.pending = text.substr(kept.size());
  if (!kept.empty()) feed(index + 1, kept, out);
}

}  // namespace slora
