#include "http/answer_pool.h"

#include <algorithm>
#include <utility>

#include "http/responses.h"

namespace slora {
namespace {

constexpr std::size_t kWaitingMax = 256;

}  // namespace

bool is_json(std::string_view content_type) {
  constexpr std::string_view json = "application/json";
  const std::string_view type = content_type.substr(0, content_type.find_first_of("; \t"));
  const auto equal = [](char given, char lower) { return given == lower || (given >= 'A' && given <= 'Z' && given - 'A' + 'a' == lower); };
  return std::ranges::equal(type, json, equal);
}

void answer_elsewhere(std::shared_ptr<Exchange> exchange, const PostToIo& post, const RunElsewhere& run, AnswerWork work) {
  std::string body = exchange->take_body();
  const std::size_t body_bytes = body.size();
  // The exchange is moved to the worker and back, never copied: its last reference must be released on the I/O thread.
  auto job = [post, exchange, work = std::move(work), body = std::move(body)]() mutable {
    HttpResponse response = work(body);
    post([exchange = std::move(exchange), response = std::move(response)]() mutable { exchange->respond(std::move(response)); });
  };
  if (!run(body_bytes, std::move(job))) {
    exchange->respond(error_response({"queue_full", "Too many requests of this kind wait; try again soon.", {}}));
  }
}

void answer_json_elsewhere(std::shared_ptr<Exchange> exchange, const PostToIo& post, const RunElsewhere& run, AnswerWork work) {
  if (is_json(exchange->request().content_type)) return answer_elsewhere(std::move(exchange), post, run, std::move(work));
  exchange->respond(error_response({"unsupported_media_type", "Send the body as Content-Type: application/json.", {}}));
}

AnswerPool::AnswerPool(Post post, std::size_t thread_count) : post_(std::move(post)), pool_(thread_count, kWaitingMax) {}

void AnswerPool::answer(std::shared_ptr<Exchange> exchange, Work work) {
  answer_elsewhere(
      std::move(exchange), post_, [this](std::size_t, std::function<void()> job) { return pool_.try_run(std::move(job)); },
      std::move(work));
}

void AnswerPool::answer_json(std::shared_ptr<Exchange> exchange, Work work) {
  answer_json_elsewhere(
      std::move(exchange), post_, [this](std::size_t, std::function<void()> job) { return pool_.try_run(std::move(job)); },
      std::move(work));
}

bool AnswerPool::try_run(std::function<void()> work, std::function<void()> done) {
  return pool_.try_run([this, work = std::move(work), done = std::move(done)]() mutable {
    work();
    post_(std::move(done));
  });
}

}  // namespace slora
