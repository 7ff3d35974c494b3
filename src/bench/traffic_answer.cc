#include "bench/traffic_answer.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

namespace slora::bench {
namespace {

constexpr std::size_t kLineBytesMax = std::size_t{1} << 20;
constexpr std::string_view kProtocol = "HTTP/1.1 ";

// Value of a header field in lower case; empty when missing.
std::string field_of(std::string_view head, std::string_view name) {
  std::string small(head);
  std::ranges::transform(small, small.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string key = "\r\n" + std::string(name) + ":";
  const std::size_t at = small.find(key);
  if (at == std::string::npos) return {};
  const std::size_t begin = small.find_first_not_of(' ', at + key.size());
  if (begin == std::string::npos) return {};
  return small.substr(begin, small.find("\r\n", begin) - begin);
}

template <class Number>
bool read_number(Number& out, std::string_view text, int base) {
  return std::from_chars(text.data(), text.data() + text.size(), out, base).ec == std::errc();
}

tl::unexpected<Error> broken(std::string_view what) { return error("E_HTTP", "the answer is broken: {}", what); }

}  // namespace

Result<std::int32_t> TrafficAnswer::push(std::string_view bytes) {
  new_tokens_ = 0;
  while (!is_over() && !bytes.empty()) {
    if (Status advanced = advance(bytes); !advanced) return forward_error(advanced);
  }
  if (is_over() && status_ != 200) return refusal();
  if (!bytes.empty()) return broken("bytes after its end");
  return new_tokens_;
}

Status TrafficAnswer::advance(std::string_view& bytes) {
  if (state_ == State::chunk || state_ == State::sized) {
    const std::size_t count = std::min(body_bytes_left_, bytes.size());
    if (Status taken = take_body(bytes.substr(0, count)); !taken) return taken;
    bytes.remove_prefix(count);
    body_bytes_left_ -= count;
    if (body_bytes_left_ == 0) state_ = state_ == State::chunk ? State::chunk_end : State::over;
    return {};
  }
  if (complete_line(bytes, state_ == State::head ? "\r\n\r\n" : "\r\n")) return take_line(std::exchange(line_, {}));
  if (line_.size() > kLineBytesMax) return broken("an endless line");
  return {};
}

// Moves bytes up to `end` into line_; false when `end` has not arrived yet.
bool TrafficAnswer::complete_line(std::string_view& bytes, std::string_view end) {
  const std::size_t old_bytes = line_.size();
  const std::size_t begin = old_bytes - std::min(old_bytes, end.size() - 1);
  line_ += bytes;
  const std::size_t at = line_.find(end, begin);
  bytes.remove_prefix(at == std::string::npos ? bytes.size() : at + end.size() - old_bytes);
  if (at != std::string::npos) line_.resize(at);
  return at != std::string::npos;
}

Status TrafficAnswer::take_line(std::string_view line) {
  switch (state_) {
    case State::head:
      return take_head(line);
    case State::chunk_size:
      if (!read_number(body_bytes_left_, line, 16)) return broken("a chunk without its size");
      state_ = body_bytes_left_ > 0 ? State::chunk : State::last_chunk_end;
      return {};
    case State::last_chunk_end:
      state_ = State::over;
      break;
    default:
      state_ = State::chunk_size;
  }
  return line.empty() ? Status() : broken("a chunk longer than its size");
}

Status TrafficAnswer::take_head(std::string_view head) {
  if (!head.starts_with(kProtocol) || !read_number(status_, head.substr(kProtocol.size()), 10)) return broken("its head is not HTTP/1.1");
  if (field_of(head, "transfer-encoding") == "chunked") {
    state_ = State::chunk_size;
    return {};
  }
  if (!read_number(body_bytes_left_, field_of(head, "content-length"), 10)) {
    return broken("expected chunks or a Content-Length, found neither");
  }
  state_ = body_bytes_left_ > 0 ? State::sized : State::over;
  return {};
}

// Keeps the whole body of a refusal, but only the incomplete last line of a stream.
Status TrafficAnswer::take_body(std::string_view bytes) {
  body_ += bytes;
  if (body_.size() > kLineBytesMax) return broken("an endless line");
  if (status_ != 200) return {};
  std::size_t begin = 0;
  for (std::size_t end = body_.find('\n'); end != std::string::npos; end = body_.find('\n', begin)) {
    if (Status taken = take_event(std::string_view(body_).substr(begin, end - begin)); !taken) return taken;
    begin = end + 1;
  }
  body_.erase(0, begin);
  return {};
}

Status TrafficAnswer::take_event(std::string_view line) {
  if (!line.starts_with("data: {")) return {};  // an empty line, or [DONE]
  const std::string_view json = line.substr(line.find('{'));
  if (json.find(R"("choices":[{)") != std::string_view::npos) {
    ++new_tokens_;
    return {};
  }
  const Result<Json> parsed = parse_json(json);
  if (!parsed) return tl::unexpected(parsed.error());
  const Json* usage = find_member(*parsed, "usage");
  if (usage == nullptr) return error("E_HTTP", "{}", json);
  return take_usage(*usage);
}

Status TrafficAnswer::take_usage(const Json& usage) {
  if (!usage.is_object()) return broken("its usage is no object");
  const Result<std::optional<std::int64_t>> output_tokens = optional_integer_at(usage, "completion_tokens");
  if (!output_tokens) return broken(output_tokens.error().message);
  output_tokens_ = output_tokens->value_or(0);
  const Result<std::optional<std::int64_t>> prompt_tokens = optional_integer_at(usage, "prompt_tokens");
  if (!prompt_tokens) return broken(prompt_tokens.error().message);
  prompt_tokens_ = prompt_tokens->value_or(0);
  const Json* details = find_member(usage, "prompt_tokens_details");
  if (details == nullptr) return {};
  if (!details->is_object()) return broken("its prompt_tokens_details are no object");
  const Result<std::optional<std::int64_t>> cached_tokens = optional_integer_at(*details, "cached_tokens");
  if (!cached_tokens) return broken(cached_tokens.error().message);
  cached_tokens_ = cached_tokens->value_or(0);
  return {};
}

tl::unexpected<Error> TrafficAnswer::refusal() const { return error("E_HTTP", "{}: {}", status_, body_); }

}  // namespace slora::bench
