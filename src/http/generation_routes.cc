#include "http/generation_routes.h"

#include <string_view>
#include <utility>

#include "http/answer_pool.h"
#include "http/answer_writer.h"
#include "http/responses.h"

namespace slora {
namespace {

constexpr std::size_t kPreparationsWaitingMax = 1024;

}  // namespace

GenerationRoutes::GenerationRoutes(Api& api, Api::Post post, std::size_t preparing_threads)
    : api_(api), post_(std::move(post)), pool_(preparing_threads, kPreparationsWaitingMax) {}

void GenerationRoutes::generate(Endpoint endpoint, const std::shared_ptr<Exchange>& exchange) {
  const auto refuse = [&](const char* code, const char* message) { exchange->respond(error_response({code, message, {}})); };
  if (draining_) return refuse("draining", "The server is shutting down and takes no new requests.");
  if (!is_json(exchange->request().content_type))
    return refuse("unsupported_media_type", "Send the body as Content-Type: application/json.");

  const std::uint64_t random = random_();
  const auto writer = std::make_shared<AnswerWriter>(exchange, random);  // shared as the job's constructor says
  const auto job = api_.make_job(writer, {exchange->request().tenant, random});
  exchange->on_gone([job] { job->cancel(); });
  // The job is moved back, never copied: its last reference must be released on the I/O thread.
  const bool taken = pool_.try_run([this, endpoint, job = job, body = exchange->take_body()]() mutable {
    Result<PreparedRequest> prepared = api_.preparer().prepare(endpoint, body);
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
