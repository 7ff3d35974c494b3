#include "http/generation_routes.h"

#include <string_view>
#include <utility>

#include "api/request_memory.h"
#include "base/caught.h"
#include "http/answer_pool.h"
#include "http/answer_writer.h"
#include "http/responses.h"

namespace slora {

// What is on its way to a worker and back.
struct GenerationRoutes::Preparation {
  std::shared_ptr<GenerationJob> job;
  RequestBody body;
  std::shared_ptr<const ModelAccess> access;
  Result<PreparedRequest> prepared;
};

namespace {

constexpr std::size_t kAnswersWaitingMax = 4096;

}  // namespace

GenerationRoutes::GenerationRoutes(Api& api, Api::Post post, TextPool& text_pool)
    : api_(api),
      post_(std::move(post)),
      text_pool_(text_pool),
      formatting_{post_, [this](std::function<void()> job) { return formatting_pool_.try_run(std::move(job)); }},
      formatting_pool_(1, kAnswersWaitingMax) {}

void GenerationRoutes::generate(Endpoint endpoint, const std::shared_ptr<Exchange>& exchange) {
  const auto refuse = [&](const char* code, const char* message) { exchange->respond(error_response({code, message, {}})); };
  if (draining_) return refuse("draining", "The server is shutting down and takes no new requests.");
  if (trouble_) return exchange->respond(error_response(*trouble_));
  if (!is_json(exchange->request().content_type))
    return refuse("unsupported_media_type", "Send the body as Content-Type: application/json.");

  const std::uint64_t random = random_();
  const auto writer = std::make_shared<AnswerWriter>(exchange, random);  // shared as the job's constructor says
  const HttpRequest& request = exchange->request();
  const auto job = api_.make_job(writer, {.tenant = request.tenant, .client = request.client, .random = random});
  writer->use_thread(formatting_, job);
  exchange->on_gone([job] { job->cancel(); });
  // Everything that the way back needs is allocated here, so that only the preparing itself can fail on the worker. It has no reference of
  // its own to the job: the last one must be released on the I/O thread.
  const auto preparation = std::make_shared<Preparation>(Preparation{job, exchange->take_body(), request.access, {}});
  const auto start = [this, preparation] {
    preparing_.erase(preparation->job);
    preparation->job->start(std::move(preparation->prepared));
  };
  if (!try_prepare(endpoint, request.client, *preparation, start)) {
    return job->fail({"queue_full", "Too many requests wait to be read; try again soon.", {}});
  }
  preparing_.insert(job);
}

// Calls `back` on the I/O thread when the request is prepared.
bool GenerationRoutes::try_prepare(Endpoint endpoint, ClientId client, Preparation& preparation, std::function<void()> back) {
  const std::size_t body_bytes = preparation.body.text.size();
  return text_pool_.try_run(client, body_bytes, [this, endpoint, &preparation, back = std::move(back)]() mutable {
    RequestBody& body = preparation.body;
    preparation.prepared = run_caught([&] {
      return prepare_within(std::move(body.memory), api_.preparer(), {endpoint, std::move(body.text), *preparation.access});
    });
    post_(std::move(back));
  });
}

void GenerationRoutes::fail_preparing(const Error& error) {
  for (const std::shared_ptr<GenerationJob>& job : preparing_) job->fail(error);
}

}  // namespace slora
