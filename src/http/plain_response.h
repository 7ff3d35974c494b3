#pragma once
#include <string>
#include <utility>

#include "http/types.h"

namespace slora {

// 200 with a body that is JSON already.
[[nodiscard]] inline HttpResponse json_response(std::string json) {
  HttpResponse response;
  response.body = std::move(json);
  return response;
}

[[nodiscard]] inline HttpResponse text_response(std::string text) {
  HttpResponse response;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(text);
  return response;
}

}  // namespace slora
