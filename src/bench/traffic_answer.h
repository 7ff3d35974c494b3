#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/json.h"

namespace slora::bench {

// One streamed answer of /v1/completions, read while its bytes come: how many tokens came, and whether it ended as it should. Reads what
// is needed for that and nothing else, since client and server share the machine. One thread.
class TrafficAnswer {
 public:
  // Takes the next bytes and returns how many tokens they completed. An error is what the server said, or what is wrong with the answer.
  [[nodiscard]] Result<std::int32_t> push(std::string_view bytes);

  // All of it has come.
  [[nodiscard]] bool is_over() const { return state_ == State::over; }
  // As the server counts them, at the end.
  [[nodiscard]] std::int64_t output_tokens() const { return output_tokens_; }
  [[nodiscard]] std::int64_t cached_tokens() const { return cached_tokens_; }

 private:
  enum class State : std::uint8_t { head, sized, chunk_size, chunk, chunk_end, last_chunk_end, over };

  [[nodiscard]] Status take_head(std::string_view head);
  // Consumes some of `bytes`.
  [[nodiscard]] Status advance(std::string_view& bytes);
  [[nodiscard]] Status take_line(std::string_view line);
  [[nodiscard]] bool complete_line(std::string_view& bytes, std::string_view end);
  [[nodiscard]] Status take_body(std::string_view bytes);
  [[nodiscard]] Status take_event(std::string_view line);
  [[nodiscard]] Status take_usage(const Json& usage);
  [[nodiscard]] tl::unexpected<Error> refusal() const;

  State state_ = State::head;
  std::int32_t status_ = 0;
  std::size_t body_bytes_left_ = 0;  // of the chunk, or of a body with a length
  std::string line_;                 // of the framing, as far as it has come
  std::string body_;                 // what of it is not read yet
  std::int32_t new_tokens_ = 0;
  std::int64_t output_tokens_ = 0, cached_tokens_ = 0;
};

}  // namespace slora::bench
