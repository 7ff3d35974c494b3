#include "server/error_response.h"

#include <array>
#include <string_view>

#include "server/json_text.h"

namespace slora {
namespace {

struct Answer {
  std::string_view code;
  int status;
  std::string_view type;
};

constexpr std::string_view kInvalid = "invalid_request_error";
constexpr std::string_view kServer = "server_error";

// Codes that are not here are reasons why a request or its adapter is refused: 400.
constexpr std::array kAnswers = {
    Answer{"invalid_api_key", 401, "authentication_error"},
    Answer{"not_permitted", 403, "permission_error"},
    Answer{"not_found", 404, kInvalid},
    Answer{"model_not_found", 404, kInvalid},
    Answer{"method_not_allowed", 405, kInvalid},
    Answer{"request_timeout", 408, kInvalid},
    Answer{"request_too_large", 413, kInvalid},
    Answer{"uri_too_long", 414, kInvalid},
    Answer{"unsupported_media_type", 415, kInvalid},
    Answer{"queue_full", 429, "rate_limit_error"},
    Answer{"head_too_large", 431, kInvalid},
    Answer{"internal_error", 500, kServer},
    Answer{"draining", 503, kServer},
    Answer{"engine_stalled", 503, kServer},
    Answer{"given_up", 503, kServer},
    Answer{"E_READ", 503, kServer},     // of the adapter's files; they were read before
    Answer{"E_CHANGED", 503, kServer},  // the adapter's folder changed between naming and loading it
    Answer{"no_finite_logits", 500, kServer},
};

Answer answer_to(const Error& error) {
  for (const Answer& answer : kAnswers) {
    if (answer.code == error.code) return answer;
  }
  return {error.code, 400, kInvalid};
}

}  // namespace

std::string error_body(const Error& error) {
  std::string out = R"({"error":{"message":)";
  append_json_string(out, error.message);
  out += R"(,"type":)";
  append_json_string(out, answer_to(error).type);
  out += R"(,"param":)";
  if (error.param.empty()) {
    out += "null";
  } else {
    append_json_string(out, error.param);
  }
  out += R"(,"code":)";
  append_json_string(out, error.code);
  out += "}}";
  return out;
}

HttpResponse error_response(const Error& error) {
  HttpResponse response;
  response.status = answer_to(error).status;
  response.body = error_body(error);
  if (response.status == 429 || response.status == 503) response.headers.emplace_back("Retry-After", "1");
  if (response.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace slora
