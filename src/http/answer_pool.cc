#include "http/answer_pool.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "api/request_memory.h"
#include "base/caught.h"
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

namespace {

// What is on its way to a worker and back.
struct Answering {
  std::shared_ptr<Exchange> exchange;
  AnswerWork work;
  RequestBody body;
  std::optional<HttpResponse> response;  // none: it failed for lack of memory
};

void compute(Answering& answering) {
  try {
    RequestBody& body = answering.body;
    ByteReservation memory = body.memory.sibling_of_nobody();
    const Status held = memory.continue_to(bytes_to_prepare(body.text));
    answering.response = held ? answering.work(body.text) : error_response(held.error());
  } catch (...) {
    log_exception("a request failed");
  }
  answering.body.text = {};
}

}  // namespace

// Everything that the way back needs is allocated here, so that only the work itself can fail on the worker. It has no reference of its own
// to the exchange: the last one must be released on the I/O thread.
void answer_elsewhere(std::shared_ptr<Exchange> exchange, const PostToIo& post, const RunElsewhere& run, AnswerWork work) {
  const auto answering = std::make_shared<Answering>(Answering{exchange, std::move(work), exchange->take_body(), {}});
  const auto respond = [answering] {
    if (!answering->response) return answering->exchange->give_up();
    answering->exchange->respond(std::move(*answering->response));
  };
  auto job = [post, answering = answering.get(), back = std::function<void()>(respond)]() mutable {
    compute(*answering);
    post(std::move(back));
  };
  if (!run(answering->body.text.size(), std::move(job))) {
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
    try {
      work();
    } catch (...) {
      log_exception("work in the background failed");
    }
    post_(std::move(done));
  });
}

}  // namespace slora
