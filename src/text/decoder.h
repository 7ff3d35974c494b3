#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

// The "decoder" of a tokenizer.json: steps from the tokens' texts to a text. Immutable; any number of threads. Steps up to
// the one that joins the tokens (ByteLevel, Fuse) process one token at a time, those after it one growing text.
class Decoder {
 public:
  [[nodiscard]] static Result<Decoder> from_json(const Json& tokenizer_json);

  // The bytes of one token inside a text.
  [[nodiscard]] std::string token_bytes(std::string_view token) const;

 private:
  friend class DecoderStream;

  struct JoinWithSpaces {};  // what `tokenizers` does without a decoder
  struct Replace {
    std::string pattern;
    std::string content;
  };
  struct Metaspace {
    char32_t replacement;
    bool drops_first;
  };
  struct ByteFallback {};
  struct ByteLevel {};
  struct Fuse {};
  struct Strip {
    char32_t content;
    std::size_t start_count;
    std::size_t stop_count;
    bool is_joined;  // after the step that joins
  };
  using Step = std::variant<JoinWithSpaces, Replace, Metaspace, ByteFallback, ByteLevel, Fuse, Strip>;

  Status add(const Json& step, const std::string& path);
  Result<Step> parse_step(const Json& step, const std::string& type, const std::string& path) const;
  [[nodiscard]] bool is_joined() const;

  std::vector<Step> steps_;
};

// The decoding of one text, token by token. Owned by one stream and its thread; the decoder must outlive it.
class DecoderStream {
 public:
  explicit DecoderStream(const Decoder& decoder);

  // Appends the text that no later token can change after `token`: whole characters.
  void push(std::string_view token, std::string& out);
  // Drops the whole characters that are held back, for a caller that needs only the text of later tokens.
  void drop_held_back();
  // Appends the text that was held back. Requires: push() is not called afterwards.
  void finish(std::string& out);

 private:
  // The state of a step between tokens. Each step uses some of the members.
  struct State {
    bool started = false;      // a token was processed
    std::string pending;       // held back: bytes of a character, of a run of byte tokens, characters to strip
    std::size_t checked = 0;   // of `pending`: bytes known to be whole characters
    bool is_broken = false;    // the run of byte tokens is invalid UTF-8
    std::size_t stripped = 0;  // characters removed from the start
    bool strips = true;        // the text is still at its start
  };

  // Passes `token` to the steps from `index` on.
  void feed(std::size_t index, std::string_view token, std::string& out);
  void flush(std::size_t index, std::string& out);

  void run(const Decoder::JoinWithSpaces& step, std::size_t index, std::string_view token, std::string& out);
  void run(const Decoder::Replace& step, std::size_t index, std::string_view token, std::string& out);
  void run(const Decoder::Metaspace& step, std::size_t index, std::string_view token, std::string& out);
  void run(const Decoder::ByteFallback& step, std::size_t index, std::string_view token, std::string& out);
  void run(const Decoder::ByteLevel& step, std::size_t index, std::string_view token, std::string& out);
  void run(const Decoder::Fuse& step, std::size_t index, std::string_view token, std::string& out);
  void run(const Decoder::Strip& step, std::size_t index, std::string_view token, std::string& out);

  void feed_byte(std::size_t index, char byte, std::string& out);
  void end_byte_run(std::size_t index, std::string& out);
  void feed_replacements(std::size_t index, std::size_t count, std::string& out);

  const Decoder* decoder_;
  std::vector<State> states_;  // [steps]
};

}  // namespace slora
