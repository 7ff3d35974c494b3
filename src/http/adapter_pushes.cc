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
  const Result<std::shared_ptr<PushedAdapters::Push>> begun = pushed_.begin(name);
  if (!begun) return exchange->respond(error_response({begun.error().code, begun.error().message, "name"}));
  const std::shared_ptr<PushedAdapters::Push> push = *begun;
  const auto pushing = std::make_shared<Pushing>(Pushing{exchange, {}});
  // Shared with a read that may hang and outlast the answer.
  const auto body = std::make_shared<const RequestBody>(exchange->take_body());
  std::function<void()> back = [pushing] {
    const std::shared_ptr<Exchange> answered = std::move(pushing->exchange);
    if (!pushing->response) return answered->give_up();
    answered->respond(std::move(*pushing->response));
  };
  const auto read = [this, push, body](Gate& gate) { return read_pushed(*push, body->text, gate); };
  auto done = [this, name, push, pushing = pushing.get(), back = std::move(back)](const Result<ExaminedAdapter>& adapter) mutable {
    try {
      pushing->response = install_pushed(name, *push, adapter);
    } catch (...) {
      log_exception("an adapter was not installed");
    }
    post_(std::move(back));
  };
  const Status started = loads_.start(kPushLane, name, read, std::move(done));
  if (!started) exchange->respond(error_response(started.error()));
}

// What is refused ends the push here, where its files may be removed however long that takes. A read that was given up ends it when it has
// ended itself.
Result<ExaminedAdapter> AdapterRoutes::read_pushed(PushedAdapters::Push& push, std::string_view file, Gate& gate) {
  const Result<FolderPath> folder = push.write(file);
  Result<ExaminedAdapter> adapter =
      folder ? store_.examine(*folder, options_.page_count_max, gate) : Result<ExaminedAdapter>(tl::unexpected(folder.error()));
  if (!adapter) push.drop();
  return adapter;
}

HttpResponse AdapterRoutes::install_pushed(const std::string& name, PushedAdapters::Push& push, const Result<ExaminedAdapter>& adapter) {
  if (!adapter) return error_response({adapter.error().code, adapter.error().message, "body"});
  const Status installed = push.keep([&] { return store_.install(name, *adapter, TakenName::replace); });
  if (!installed) return error_response({installed.error().code, installed.error().message, "name"});
  log_info("adapter \"{}\" has the tensors of a request", name);
  const Json answer = {{"name", name}, {"sha256", hex(adapter->identity)}};
  return json_response(answer.dump());
}

}  // namespace slora
