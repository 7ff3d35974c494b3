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
// the one that joins the tokens (ByteLevel, Fuse) see a token at a time, those behind it one text that grows.
class Decoder {
 public:
  [[nodiscard]] static Result<Decoder> from_json(const Json& tokenizer_json);

  // The bytes that one token stands for inside a text.
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
    bool is_joined;  // behind the step that joins
  };
  using Step = std::variant<JoinWithSpaces, Replace, Metaspace, ByteFallback, ByteLevel, Fuse, Strip>;

  Status add(const Json& step, const std::string& path);
  Result<Step> parse_step(const Json& step, const std::string& type, const std::string& path) const;
  [[nodiscard]] bool is_joined() const;

  std::vector<Step> steps_;
};

// One text in the making. Owned by one stream and its thread; the decoder must outlive it.
class DecoderStream {
 public:
  explicit DecoderStream(const Decoder& decoder);

  // Appends the text that is certain after `token`: whole characters.
  void push(std::string_view token, std::string& out);
  // Forgets the whole characters that are held back, as a caller may who wants only the text of what comes next.
  void drop_held_back();
  // Appends what was held back. Nothing may be pushed afterwards.
  void finish(std::string& out);

 private:
  // What a step remembers between tokens. Which members count depends on the step.
  struct State {
    bool started = false;      // a token has passed
    std::string pending;       // held back: bytes of a character, of a run of byte tokens, characters to strip
    std::size_t checked = 0;   // of `pending`: bytes known to be whole characters
    bool is_broken = false;    // the run of byte tokens can't be UTF-8 any more
    std::size_t stripped = 0;  // characters taken from the start
    bool strips = true;        // the text is still at its start
  };

  // Hands `token` to the steps from `index` on.
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
