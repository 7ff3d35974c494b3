#include "http/head.h"

#include <algorithm>
#include <chrono>
#include <ctime>

namespace slora {
namespace {

bool is_token_character(char c) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || others.find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character); }

bool is_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The next line without its CRLF; nothing when there is a bare CR or LF, or a control character.
std::optional<std::string_view> take_line(std::string_view& rest) {
  const std::size_t end = rest.find("\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 2);
  const auto is_control = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; };
  if (std::any_of(line.begin(), line.end(), is_control)) return std::nullopt;
  return line;
}

// The fields that decide where the body ends, and those that may occur only once.
struct Framing {
  int host_count = 0, content_length_count = 0, transfer_encoding_count = 0;
};

Status check_request_line(std::string_view line, bool& is_http_1_1, const HttpLimits& limits) {
  if (line.size() > limits.request_line_bytes_max) {
    return error("uri_too_long", "The request line is longer than {} bytes.", limits.request_line_bytes_max);
  }
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last || !is_token(line.substr(0, first))) {
    return error("bad_request", "The request line is not \"METHOD /path HTTP/1.1\".");
  }
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  is_http_1_1 = version == "HTTP/1.1";
  if (!is_http_1_1 && version != "HTTP/1.0") return error("bad_request", "The version is not HTTP/1.1 or HTTP/1.0.");
  if (!target.starts_with('/') || target.find_first_of(" \t") != std::string_view::npos) {
    return error("bad_request", "The request target is not an absolute path.");
  }
  return {};
}

Status check_field(std::string_view line, Framing& framing) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    return error("bad_request", "A header line is not \"Name: value\" (folded lines and spaces before the colon are refused).");
  }
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim(line.substr(colon + 1));
  if (equal_ignoring_case(name, "Host")) ++framing.host_count;
  if (equal_ignoring_case(name, "Content-Length")) {
    ++framing.content_length_count;
    if (!is_digits(value) || value.size() > 15) return error("bad_request", "Content-Length is not a number of bytes.");
  }
  if (equal_ignoring_case(name, "Transfer-Encoding")) {
    ++framing.transfer_encoding_count;
    if (!equal_ignoring_case(value, "chunked")) return error("bad_request", "The only Transfer-Encoding served is \"chunked\".");
  }
  return {};
}

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Internal Server Error";
  }
}

std::string date_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[40];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

}  // namespace

std::optional<std::size_t> find_head_end(std::string_view bytes) {
  const std::size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  return end + 4;
}

Status check_request_head(std::string_view head, const HttpLimits& limits) {
  bool is_http_1_1 = false;
  const std::optional<std::string_view> request_line = take_line(head);
  if (!request_line) return error("bad_request", "The request head has a control character or a line that does not end in CRLF.");
  if (Status line = check_request_line(*request_line, is_http_1_1, limits); !line) return line;

  Framing framing;
  for (std::size_t field_count = 0;; ++field_count) {
    const std::optional<std::string_view> line = take_line(head);
    if (!line) return error("bad_request", "The request head has a control character or a line that does not end in CRLF.");
    if (line->empty()) break;
    if (field_count == limits.field_count_max)
      return error("head_too_large", "The request has more than {} header fields.", limits.field_count_max);
    if (Status field = check_field(*line, framing); !field) return field;
  }
  if (framing.host_count > 1 || (is_http_1_1 && framing.host_count == 0))
    return error("bad_request", "The request needs exactly one Host header.");
  if (framing.content_length_count + framing.transfer_encoding_count > 1) {
    return error("bad_request", "The request says more than once where its body ends (Content-Length, Transfer-Encoding).");
  }
  if (framing.transfer_encoding_count == 1 && !is_http_1_1) return error("bad_request", "Transfer-Encoding needs HTTP/1.1.");
  return {};
}

Status check_trailer(std::string_view trailer) {
  Framing framing;
  for (;;) {
    const std::optional<std::string_view> line = take_line(trailer);
    if (!line) return error("bad_request", "The body's trailer has a control character or a line that does not end in CRLF.");
    if (line->empty()) break;
    if (Status field = check_field(*line, framing); !field) return field;
  }
  if (framing.host_count + framing.content_length_count + framing.transfer_encoding_count == 0) return {};
  return error("bad_request", "The body's trailer has a field that belongs into the head (Host, Content-Length, Transfer-Encoding).");
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view path_of(std::string_view target) { return target.substr(0, target.find('?')); }

std::string clean_request_id(std::string_view request_id) {
  std::string clean;
  for (const char c : request_id.substr(0, 128)) {
    const bool is_alphanumeric = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (is_alphanumeric || c == '-' || c == '_' || c == '.' || c == ':') clean.push_back(c);
  }
  return clean;
}

std::string format_response_head(const ResponseHead& head) {
  const HttpResponse& response = head.response;
  std::string out = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", response.status, reason_of(response.status), date_now());
  if (!response.content_type.empty()) out += fmt::format("Content-Type: {}\r\n", response.content_type);
  for (const auto& [name, value] : response.headers) out += fmt::format("{}: {}\r\n", name, value);
  if (!head.request_id.empty()) out += fmt::format("x-request-id: {}\r\n", head.request_id);
  const bool is_sized = head.body_form == BodyForm::sized || head.body_form == BodyForm::left_out;
  if (is_sized && response.status != 304)  // which has no body, and whose length would be that of another answer
    out += fmt::format("Content-Length: {}\r\n", response.body.size());
  if (head.body_form == BodyForm::chunked) out += "Transfer-Encoding: chunked\r\n";
  if (head.use == ConnectionUse::close || head.body_form == BodyForm::until_close) out += "Connection: close\r\n";
  out += "\r\n";
  return out;
}

void append_chunk(std::string& out, std::string_view bytes) {
  out += fmt::format("{:x}\r\n", bytes.size());
  out += bytes;
  out += "\r\n";
}

}  // namespace slora
