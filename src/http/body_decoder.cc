#include "http/body_decoder.h"

#include <algorithm>

#include "http/head.h"

namespace slora {
namespace {

constexpr std::size_t kSizeDigitsMax = 16;

tl::unexpected<Error> broken_chunks() { return error("bad_request", "The body's chunked coding is broken."); }

// -1: not one.
int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

BodyDecoder BodyDecoder::of_size(std::uint64_t bytes, const HttpLimits& limits) {
  BodyDecoder decoder(bytes == 0 ? State::done : State::data, bytes, limits);
  decoder.is_sized_ = true;
  return decoder;
}

BodyDecoder BodyDecoder::of_chunks(const HttpLimits& limits, std::size_t body_bytes_max) {
  BodyDecoder decoder(State::size, 0, limits);
  decoder.body_bytes_max_ = body_bytes_max;
  return decoder;
}

Result<std::size_t> BodyDecoder::take(std::string_view bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && state_ != State::done) {
    if (state_ == State::data) {
      taken += take_data(bytes.substr(taken));
      continue;
    }
    if (Status framing = take_framing(bytes[taken]); !framing) return forward_error(framing);
    ++taken;
  }
  return taken;
}

std::size_t BodyDecoder::take_data(std::string_view bytes) {
  const std::string_view data = bytes.substr(0, std::min<std::uint64_t>(left_, bytes.size()));
  body_ += data;
  left_ -= data.size();
  if (left_ == 0) state_ = is_sized_ ? State::done : State::data_end;
  return data.size();
}

Status BodyDecoder::take_framing(char c) {
  switch (state_) {
    case State::size:
      return take_size(c);
    case State::extension:
      if (c == '\r') {
        state_ = State::size_end;
        return {};
      }
      ++extension_bytes_;
      if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) return broken_chunks();
      if (extension_bytes_ + trailer_.size() > limits_.head_bytes_max) {
        return error("bad_request", "The body's chunk extensions are longer than {} bytes.", limits_.head_bytes_max);
      }
      return {};
    case State::size_end:
      return c == '\n' ? begin_chunk() : broken_chunks();
    case State::data_end:
      state_ = State::data_end_lf;
      return c == '\r' ? Status{} : broken_chunks();
    case State::data_end_lf:
      state_ = State::size;
      return c == '\n' ? Status{} : broken_chunks();
    case State::trailer:
      return take_trailer(c);
    case State::data:
    case State::done:
      break;
  }
  return {};
}

Status BodyDecoder::take_size(char c) {
  const int digit = hex_digit(c);
  if (digit >= 0) {
    if (++digit_count_ > kSizeDigitsMax) return broken_chunks();
    left_ = left_ << 4 | static_cast<std::uint64_t>(digit);
    return {};
  }
  if (digit_count_ == 0 || (c != '\r' && c != ';')) return broken_chunks();
  state_ = c == ';' ? State::extension : State::size_end;
  return {};
}

Status BodyDecoder::begin_chunk() {
  digit_count_ = 0;
  if (left_ > body_bytes_max_ - body_.size()) {
    return error("request_too_large", "The request's body is longer than {} bytes.", body_bytes_max_);
  }
  state_ = left_ == 0 ? State::trailer : State::data;
  return {};
}

Status BodyDecoder::take_trailer(char c) {
  trailer_ += c;
  if (extension_bytes_ + trailer_.size() > limits_.head_bytes_max) {
    return error("bad_request", "The body's trailer is longer than {} bytes.", limits_.head_bytes_max);
  }
  if (trailer_ != "\r\n" && !trailer_.ends_with("\r\n\r\n")) return {};
  state_ = State::done;
  return check_trailer(trailer_);
}

}  // namespace slora
