#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/json.h"

namespace slora::bench {

// Parses a streamed answer of /v1/completions incrementally: how many tokens arrived, and whether it ended properly. It parses nothing
// else, because client and server share the machine. One thread.
class TrafficAnswer {
 public:
  // Takes the next bytes and returns how many tokens they completed. An error: the server's, or what is malformed.
  [[nodiscard]] Result<std::int32_t> push(std::string_view bytes);

  // The whole answer has arrived.
  [[nodiscard]] bool is_over() const { return state_ == State::over; }
  // Of HTTP; 0 before its head has arrived.
  [[nodiscard]] std::int32_t status() const { return status_; }
  // As the server reports them at the end; 0: it does not.
  [[nodiscard]] std::int64_t prompt_tokens() const { return prompt_tokens_; }
  [[nodiscard]] std::int64_t output_tokens() const { return output_tokens_; }
  [[nodiscard]] std::int64_t cached_tokens() const { return cached_tokens_; }

 private:
  enum class State : std::uint8_t { head, sized, chunk_size, chunk, chunk_end, last_chunk_end, over };

  [[nodiscard]] Status take_head(std::string_view head);
  // Consumes a prefix of `bytes`.
  [[nodiscard]] Status advance(std::string_view& bytes);
  [[nodiscard]] Status take_line(std::string_view line);
  [[nodiscard]] bool complete_line(std::string_view& bytes, std::string_view end);
  [[nodiscard]] Status take_body(std::string_view bytes);
  [[nodiscard]] Status take_event(std::string_view line);
  [[nodiscard]] Status take_usage(const Json& usage);
  [[nodiscard]] tl::unexpected<Error> refusal() const;

  State state_ = State::head;
  std::int32_t status_ = 0;
  std::size_t body_bytes_left_ = 0;  // in the chunk, or in a body with a length
  std::string line_;                 // the current line of the framing, so far
  std::string body_;                 // the part that has not been parsed yet
  std::int32_t new_tokens_ = 0;
  std::int64_t prompt_tokens_ = 0, output_tokens_ = 0, cached_tokens_ = 0;
};

}  // namespace slora::bench
