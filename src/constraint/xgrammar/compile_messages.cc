#include "constraint/xgrammar/compile_messages.h"

#include <cstdint>
#include <cstring>
#include <utility>

namespace slora {
namespace {

void append_number(std::string& out, std::uint64_t number) { out.append(reinterpret_cast<const char*>(&number), sizeof number); }

void append_text(std::string& out, std::string_view text) {
  append_number(out, text.size());
  out += text;
}

// Reads numbers and texts from the front of a message.
class MessageReader {
 public:
  explicit MessageReader(std::string_view rest) : rest_(rest) {}

  bool read(std::uint64_t& number) {
    if (rest_.size() < sizeof number) return false;
    std::memcpy(&number, rest_.data(), sizeof number);
    rest_.remove_prefix(sizeof number);
    return true;
  }
  bool read(std::string& text) {
    std::uint64_t count = 0;
    if (!read(count) || count > rest_.size()) return false;
    text = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return true;
  }
  [[nodiscard]] std::size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
};

tl::unexpected<Error> broken() { return error("internal_error", "A message about a form can't be read"); }

}  // namespace

std::string message_of(const ConstraintVocabulary& vocabulary) {
  std::string out;
  append_number(out, vocabulary.texts.size());
  for (const std::string& text : vocabulary.texts) append_text(out, text);
  append_number(out, vocabulary.marks.size());
  for (const TokenId mark : vocabulary.marks) append_number(out, static_cast<std::uint64_t>(mark));
  return out;
}

Result<ConstraintVocabulary> vocabulary_of(std::string_view message) {
  MessageReader reader(message);
  ConstraintVocabulary vocabulary;
  std::uint64_t count = 0, mark = 0;
  if (!reader.read(count) || count > reader.left()) return broken();
  vocabulary.texts.resize(count);
  for (std::string& text : vocabulary.texts) {
    if (!reader.read(text)) return broken();
  }
  if (!reader.read(count)) return broken();
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!reader.read(mark) || mark >= vocabulary.texts.size()) return broken();
    vocabulary.marks.push_back(static_cast<TokenId>(mark));
  }
  return vocabulary;
}

std::string message_of(const ConstraintSpec& spec) {
  std::string out;
  append_number(out, static_cast<std::uint64_t>(spec.kind));
  append_number(out, spec.any_whitespace ? 1 : 0);
  append_number(out, spec.disable_additional_properties ? 1 : 0);
  append_text(out, spec.text);
  return out;
}

Result<ConstraintSpec> spec_of(std::string_view message) {
  MessageReader reader(message);
  std::uint64_t kind = 0, any_whitespace = 0, closed = 0;
  ConstraintSpec spec;
  if (!reader.read(kind) || !reader.read(any_whitespace) || !reader.read(closed) || !reader.read(spec.text)) return broken();
  spec.kind = static_cast<ConstraintKind>(kind);
  spec.any_whitespace = any_whitespace != 0;
  spec.disable_additional_properties = closed != 0;
  return spec;
}

std::string message_of(const Result<SerialisedForm>& compiled) {
  std::string out;
  append_text(out, compiled ? "" : compiled.error().code);
  append_text(out, compiled ? compiled->text : compiled.error().message);
  append_number(out, compiled ? compiled->bytes : 0);
  return out;
}

Result<SerialisedForm> compiled_of(std::string_view message) {
  MessageReader reader(message);
  std::string code, text;
  std::uint64_t bytes = 0;
  if (!reader.read(code) || !reader.read(text) || !reader.read(bytes)) return broken();
  if (code.empty()) return SerialisedForm{std::move(text), bytes};
  return tl::unexpected<Error>(Error{std::move(code), std::move(text), {}});
}

}  // namespace slora
