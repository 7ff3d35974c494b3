#include "http/answer_pool.h"

#include <optional>
#include <utility>

#include "api/request_memory.h"
#include "base/caught.h"
#include "http/head.h"
#include "http/responses.h"

namespace slora {
namespace {

constexpr std::size_t kWaitingMax = 256;

}  // namespace

bool is_json(std::string_view content_type) {
  constexpr std::string_view json = "application/json";
  const std::string_view type = content_type.substr(0, content_type.find_first_of("; \t"));
  return equal_ignoring_case(type, json);
}

namespace {

// What is on its way to a worker and back.
struct Answering {
  std::shared_ptr<Exchange> exchange;  // until it is answered, on the I/O thread
  AnswerWork work;
  RequestBody body;
  std::optional<HttpResponse> response;  // none: it failed for lack of memory
};

void compute(Answering& answering, const Status& can_run) {
  try {
    RequestBody& body = answering.body;
    ByteReservation memory = body.memory.sibling_of_nobody();
    const Status held = can_run ? memory.continue_to(bytes_to_prepare(body.text)) : can_run;
    answering.response = held ? answering.work(body.text) : error_response(held.error());
  } catch (...) {
    log_exception("a request failed");
  }
  answering.body.text = {};
}

bool has_to_wait(const AwaitFirst& await, const Answering& answering, const std::function<void(Status)>& go_on) {
  if (!await) return false;
  try {
    ByteReservation memory = answering.body.memory.sibling_of_nobody();
    if (!memory.continue_to(bytes_to_prepare(answering.body.text))) return false;  // compute() says so
    return await(answering.body.text, go_on);
  } catch (...) {
    log_exception("a request did not wait for its adapter");
    return false;
  }
}

}  // namespace

// Everything that the way back needs is allocated here, so that only the work itself can fail on the worker.
void answer_elsewhere(std::shared_ptr<Exchange> exchange, const PostToIo& post, const RunElsewhere& run, AnswerWork work,
                      AwaitFirst await) {
  const auto answering = std::make_shared<Answering>(Answering{exchange, std::move(work), exchange->take_body(), {}});
  const auto respond = [answering] {
    // Its last reference must be released on this thread, whoever holds the rest.
    const std::shared_ptr<Exchange> answered = std::move(answering->exchange);
    if (!answering->response) return answered->give_up();
    answered->respond(std::move(*answering->response));
  };
  // `back` holds what `answering` points to.
  auto finish = [post, answering = answering.get(), back = std::function<void()>(respond)](const Status& can_run) mutable {
    compute(*answering, can_run);
    post(std::move(back));  // a copy would take memory
  };
  auto job = [answering = answering.get(), await = std::move(await), finish = std::function<void(Status)>(std::move(finish))] {
    if (!has_to_wait(await, *answering, finish)) finish({});
  };
  if (!run(answering->body.text.size(), std::move(job))) {
    exchange->respond(error_response({"queue_full", "Too many requests of this kind wait; try again soon.", {}}));
  }
}

void answer_json_elsewhere(std::shared_ptr<Exchange> exchange, const PostToIo& post, const RunElsewhere& run, AnswerWork work,
                           AwaitFirst await) {
  if (is_json(exchange->request().content_type)) return answer_elsewhere(std::move(exchange), post, run, std::move(work), std::move(await));
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
