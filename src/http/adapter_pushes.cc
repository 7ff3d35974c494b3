// Adapters whose tensors come in the body of a request, as training by reinforcement makes one after the other.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/caught.h"
#include "base/log.h"
#include "formats/json.h"
#include "http/adapter_routes.h"
#include "http/head.h"
#include "http/query.h"
#include "http/responses.h"

namespace slora {
namespace {

constexpr std::uint64_t kPushLane = 2;  // of loads that read the server's own temporary folder
constexpr std::string_view kBytesType = "application/octet-stream";

// What is on its way to a thread that reads, and back.
struct Pushing {
  std::shared_ptr<Exchange> exchange;    // until it is answered, on the I/O thread
  std::optional<HttpResponse> response;  // none: it failed for lack of memory
};

}  // namespace

// Everything that the way back needs is allocated here, so that only the work itself can fail elsewhere.
void AdapterRoutes::push(const std::shared_ptr<Exchange>& exchange) {
  const std::string name = percent_decoded(exchange->request().path_rest).value_or("");
  const std::string_view type = exchange->request().content_type;
  if (!equal_ignoring_case(type.substr(0, type.find_first_of("; \t")), kBytesType)) {
    const Error wrong{"unsupported_media_type", fmt::format("Send a safetensors file as Content-Type: {}.", kBytesType), {}};
    return exchange->respond(error_response(wrong));
  }
  if (Status usable = check_name(name, TakenName::replace); !usable) {
    return exchange->respond(error_response({usable.error().code, usable.error().message, "name"}));
  }
  const auto pushing = std::make_shared<Pushing>(Pushing{exchange, {}});
  // Shared with a read that may hang and outlast the answer.
  const auto body = std::make_shared<const RequestBody>(exchange->take_body());
  std::function<void()> back = [pushing] {
    const std::shared_ptr<Exchange> answered = std::move(pushing->exchange);
    if (!pushing->response) return answered->give_up();
    answered->respond(std::move(*pushing->response));
  };
  const auto read = [this, name, body](Gate& gate) { return read_pushed(name, body->text, gate); };
  auto done = [this, name, pushing = pushing.get(), back = std::move(back)](const Result<ExaminedAdapter>& adapter) mutable {
    try {
      pushing->response = install_pushed(name, adapter);
    } catch (...) {
      log_exception("an adapter was not installed");
    }
    post_(std::move(back));
  };
  const Status started = loads_.start(kPushLane, name, read, std::move(done));
  if (!started) exchange->respond(error_response(started.error()));
}

Result<ExaminedAdapter> AdapterRoutes::read_pushed(const std::string& name, std::string_view file, Gate& gate) {
  const Result<FolderPath> folder = pushed_.write(name, file);
  if (!folder) return tl::unexpected(folder.error());
  Result<ExaminedAdapter> adapter = store_.examine(*folder, options_.page_count_max, gate);
  if (!adapter) pushed_.take_back(name, *folder);
  return adapter;
}

HttpResponse AdapterRoutes::install_pushed(const std::string& name, const Result<ExaminedAdapter>& adapter) {
  if (!adapter) return error_response({adapter.error().code, adapter.error().message, "body"});
  if (Status installed = store_.install(name, *adapter, TakenName::replace); !installed) return error_response(installed.error());
  log_info("adapter \"{}\" has the tensors of a request", name);
  const Json answer = {{"name", name}, {"sha256", hex(adapter->identity)}};
  return json_response(answer.dump());
}

}  // namespace slora
