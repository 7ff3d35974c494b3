#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/limits.h"

namespace slora {

// Takes one request's body from the bytes that follow its head: a given number of them, or chunks. Stricter than RFC 9112 where a proxy
// could read the same bytes differently: CRLF only, at most 16 digits in a chunk's size, no space after it, and chunk extensions and
// trailer fields, which are dropped, are together no longer than a head may be. Owned by its connection; I/O thread.
class BodyDecoder {
 public:
  [[nodiscard]] static BodyDecoder of_size(std::uint64_t bytes, const HttpLimits& limits);
  [[nodiscard]] static BodyDecoder of_chunks(const HttpLimits& limits) { return of_chunks(limits, limits.body_bytes_max); }
  [[nodiscard]] static BodyDecoder of_chunks(const HttpLimits& limits, std::size_t body_bytes_max);

  // Takes what belongs to the body from the start of `bytes` and returns how many bytes that are: all of them until is_done(). Errors:
  // "request_too_large" and "bad_request".
  [[nodiscard]] Result<std::size_t> take(std::string_view bytes);
  [[nodiscard]] bool is_done() const { return state_ == State::done; }
  // What has come so far.
  [[nodiscard]] std::string& body() { return body_; }

 private:
  enum class State : std::uint8_t { size, extension, size_end, data, data_end, data_end_lf, trailer, done };

  BodyDecoder(State state, std::uint64_t left, const HttpLimits& limits) : limits_(limits), state_(state), left_(left) {}

  [[nodiscard]] std::size_t take_data(std::string_view bytes);
  [[nodiscard]] Status take_framing(char c);
  [[nodiscard]] Status take_size(char c);
  [[nodiscard]] Status begin_chunk();
  [[nodiscard]] Status take_trailer(char c);

  const HttpLimits& limits_;
  State state_;
  std::uint64_t left_;              // bytes of the body, or of the chunk; while its size is read, the size so far
  std::size_t body_bytes_max_ = 0;  // of chunks
  std::size_t digit_count_ = 0;     // of the chunk's size
  std::size_t extension_bytes_ = 0;
  bool is_sized_ = false;  // there are no chunks
  std::string trailer_;
  std::string body_;
};

}  // namespace slora
