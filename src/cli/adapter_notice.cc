#include "cli/adapter_notice.h"

#include <chrono>
#include <exception>
#include <nlohmann/json.hpp>
#include <utility>

#include "formats/json.h"
#include "traces/json_post.h"

namespace slora {
namespace {

constexpr std::chrono::seconds kLoadTimeMax(60);

// What an error of OpenAI's API says, or the beginning of another body.
std::string reason_in(const std::string& body) {
  const Result<Json> json = parse_json(body);
  const Json* failure = json && json->is_object() ? find_member(*json, "error") : nullptr;
  const Json* message = failure != nullptr && failure->is_object() ? find_member(*failure, "message") : nullptr;
  return message != nullptr && message->is_string() ? message->get<std::string>() : quote(body);
}

}  // namespace

Result<AdapterNotice> AdapterNotice::create(const std::string& url, const std::string& api_key, const std::string& name) {
  Result<CollectorUrl> server = parse_http_url("--load-into", url, "8000", "/v1/load_lora_adapter");
  if (!server) return forward_error(server);
  for (const char c : api_key) {
    if (c <= ' ' || c >= 0x7f) return error("bad_option", "--load-into-key: expected printable ASCII characters without spaces");
  }
  return AdapterNotice(std::move(*server), api_key, name);
}

AdapterNotice::AdapterNotice(CollectorUrl server, std::string api_key, std::string name)
    : server_(std::move(server)), api_key_(std::move(api_key)), name_(std::move(name)) {}

Status AdapterNotice::load(const std::string& folder) const {
  const Json body = {{"lora_name", name_}, {"lora_path", folder}, {"load_inplace", true}};
  try {
    const PostAnswer answer = post_json(server_, body.dump(-1, ' ', false, Json::error_handler_t::replace), api_key_,
                                        std::chrono::steady_clock::now() + kLoadTimeMax);
    if (answer.status / 100 == 2) return {};
    return error("E_LOAD", "--load-into: {} answered {}: {}", authority_of(server_), answer.status, reason_in(answer.body));
  } catch (const std::exception& failed) {  // of the connection
    return error("E_LOAD", "--load-into: {}: {}", authority_of(server_), failed.what());
  }
}

}  // namespace slora
