#include "http/generation_routes.h"

#include <string_view>
#include <utility>

#include "http/answer_pool.h"
#include "http/answer_writer.h"
#include "http/responses.h"

namespace slora {
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
  // The job is moved back, never copied: its last reference must be released on the I/O thread.
  std::string body = exchange->take_body();
  const std::size_t body_bytes = body.size();
  const bool taken = text_pool_.try_run(request.client, body_bytes,
                                        [this, endpoint, job = job, access = request.access, body = std::move(body)]() mutable {
                                          Result<PreparedRequest> prepared = api_.preparer().prepare(endpoint, body, *access);
                                          post_([this, job = std::move(job), prepared = std::move(prepared)]() mutable {
                                            preparing_.erase(job);
                                            job->start(std::move(prepared));
                                          });
                                        });
  if (taken) preparing_.insert(job);
  if (!taken) job->fail({"queue_full", "Too many requests wait to be read; try again soon.", {}});
}

void GenerationRoutes::fail_preparing(const Error& error) {
  for (const std::shared_ptr<GenerationJob>& job : preparing_) job->fail(error);
}

}  // namespace slora
