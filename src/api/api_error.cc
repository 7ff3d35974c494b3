#include "api/api_error.h"

#include <array>

#include "api/json_text.h"

namespace slora {
namespace {

struct KnownCode {
  std::string_view code;
  ErrorKind kind;
};

constexpr std::array kKnownCodes = {
    KnownCode{"not_found", ErrorKind::not_found},
    KnownCode{"model_not_found", ErrorKind::not_found},
    KnownCode{"queue_full", ErrorKind::rate_limit},
    KnownCode{"client_queue_full", ErrorKind::rate_limit},
    KnownCode{"token_quota_exceeded", ErrorKind::rate_limit},
    KnownCode{"internal_error", ErrorKind::internal},
    KnownCode{"no_finite_logits", ErrorKind::internal},
    KnownCode{"constraint_violated", ErrorKind::internal},
    KnownCode{"constraints_busy", ErrorKind::unavailable},
    KnownCode{"draining", ErrorKind::unavailable},
    KnownCode{"engine_stalled", ErrorKind::unavailable},
    KnownCode{"given_up", ErrorKind::unavailable},
    KnownCode{"first_token_slo_missed", ErrorKind::unavailable},
    KnownCode{"engine_failed", ErrorKind::unavailable},
    KnownCode{"deadline_exceeded", ErrorKind::timeout},
    KnownCode{"out_of_memory", ErrorKind::unavailable},
    KnownCode{"constraint_queue_full", ErrorKind::rate_limit},
    KnownCode{"constraint_unavailable", ErrorKind::unavailable},
    KnownCode{"adapter_unavailable", ErrorKind::unavailable},
    KnownCode{"E_READ", ErrorKind::unavailable},     // of the adapter's files, when one is loaded by its path
    KnownCode{"E_CHANGED", ErrorKind::unavailable},  // the adapter's folder changed between naming and loading it
};

std::string_view type_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid_request:
    case ErrorKind::not_found:
      return "invalid_request_error";
    case ErrorKind::authentication:
      return "authentication_error";
    case ErrorKind::permission:
      return "permission_error";
    case ErrorKind::rate_limit:
      return "rate_limit_error";
    case ErrorKind::unavailable:
    case ErrorKind::timeout:
    case ErrorKind::internal:
      return "server_error";
  }
  return "";
}

}  // namespace

ErrorKind kind_of(std::string_view code) {
  for (const KnownCode& known : kKnownCodes) {
    if (known.code == code) return known.kind;
  }
  return ErrorKind::invalid_request;
}

ApiError to_api_error(const Error& error) { return {kind_of(error.code), error.code, error.message, error.param}; }

std::string error_body(const ApiError& error) {
  std::string out = R"({"error":{"message":)";
  append_json_string(out, error.message);
  out += R"(,"type":)";
  append_json_string(out, type_of(error.kind));
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

}  // namespace slora
