#include "http/generation_routes.h"

#include <atomic>
#include <optional>
#include <utility>

#include "api/request_memory.h"
#include "api/request_timeout.h"
#include "base/caught.h"
#include "http/answer_pool.h"
#include "http/answer_writer.h"
#include "http/responses.h"

namespace slora {

// What is on its way to a worker and back.
struct GenerationRoutes::Preparation {
  Endpoint endpoint;
  ClientId client;
  std::shared_ptr<GenerationJob> job;  // until it is started, on the I/O thread
  RequestBody body;
  std::shared_ptr<const ModelAccess> access;
  std::shared_ptr<const std::atomic<bool>> client_is_gone;
  std::size_t work_bytes = 0;  // bytes_to_prepare() of the body
  RequestSpec spec = {};       // once the body was read
  Result<PreparedRequest> prepared = {};
};

namespace {

constexpr std::size_t kAnswersWaitingMax = 4096;
constexpr TurnPool::Limits kForms{.thread_count = 2, .waiting_max = 256, .waiting_of_client_max = 64};  // as many as compile at a time

}  // namespace

GenerationRoutes::GenerationRoutes(Api& api, Api::Post post, TextPool& text_pool, RequestReports& reports)
    : api_(api),
      reports_(reports),
      post_(std::move(post)),
      text_pool_(text_pool),
      waits_([this](const std::vector<std::string>& adapters,
                    std::function<void()> then) { api_.preparer().await_adapters(adapters, std::move(then)); },
             text_pool),
      formatting_{post_, [this](std::function<void()> job) { return formatting_pool_.try_run(std::move(job)); }},
      formatting_pool_(1, kAnswersWaitingMax),
      constraint_pool_(kForms) {}

void GenerationRoutes::generate(Endpoint endpoint, const std::shared_ptr<Exchange>& exchange) {
  const auto respond = [&](std::string_view code, HttpResponse response) {
    const int status = response.status;
    exchange->respond(std::move(response));
    reports_.report_refused(endpoint, exchange->request(), code, status);
  };
  const auto refuse = [&](const Error& error) { respond(error.code, error_response(error)); };
  if (draining_) return refuse({"draining", "The server is shutting down and takes no new requests.", {}});
  if (trouble_) return refuse(*trouble_);
  if (shortage_) return refuse(*shortage_);
  if (!is_json(exchange->request().content_type))
    return refuse({"unsupported_media_type", "Send the body as Content-Type: application/json.", {}});
  const std::shared_ptr<TokenQuota>& quota = exchange->request().quota;
  const Timestamp now = SteadyClock().now();
  if (const Status has_tokens = quota ? quota->check(now) : Status{}; !has_tokens) {
    ApiError refused = to_api_error(has_tokens.error());
    refused.retry_seconds = quota->seconds_to_wait(now);
    return respond(refused.code, error_response(refused));
  }
  // Before the body costs anything; what it asks for is not known yet.
  if (Status has_place = api_.runtime().engine().check_queue(exchange->request().client, {}); !has_place) return refuse(has_place.error());

  const std::uint64_t random = random_();
  const auto writer = std::make_shared<AnswerWriter>(exchange, random);  // shared as the job's constructor says
  const HttpRequest& request = exchange->request();
  JobOrigin origin{.tenant = request.tenant,
                   .client = request.client,
                   .random = random,
                   .quota = request.quota,
                   .report = reports_.make(endpoint, request, random)};
  const auto job = api_.make_job(writer, std::move(origin));
  writer->use_thread(formatting_, job);
  const auto client_is_gone = std::make_shared<std::atomic<bool>>(false);  // shared with the thread that would compile its form
  exchange->on_gone([job, client_is_gone] {
    client_is_gone->store(true);
    job->cancel();
  });
  // Everything that the way back needs is allocated here, so that only the preparing itself can fail on the worker.
  const auto preparation =
      std::make_shared<Preparation>(Preparation{endpoint, request.client, job, exchange->take_body(), request.access, client_is_gone});
  const std::optional<float> timeout = peek_timeout(preparation->body.text);
  const auto start = [this, preparation] {
    // Its last reference must be released on this thread, whoever holds the rest.
    const std::shared_ptr<GenerationJob> started = std::move(preparation->job);
    preparing_.erase(started);
    started->start(std::move(preparation->prepared));
  };
  auto prepare = [this, preparation = preparation.get(), back = std::function<void()>(start)]() mutable {
    read(*preparation, std::move(back));
  };
  if (!text_pool_.try_run(request.client, preparation->body.text.size(), std::move(prepare))) {
    return job->fail({"queue_full", "Too many requests wait to be read; try again soon.", {}});
  }
  preparing_.insert(job);
  if (timeout) job->set_timeout(*timeout);
}

void GenerationRoutes::read(Preparation& preparation, std::function<void()> back) {
  std::optional<Result<FoundModel>> model;
  const Status is_read = run_caught([&]() -> Status {
    const std::string body = std::move(preparation.body.text);
    preparation.work_bytes = bytes_to_prepare(body);
    Result<RequestSpec> spec = read_within(preparation.body.memory, api_.preparer(), {preparation.endpoint, body, preparation.work_bytes});
    if (!spec) return forward_error(spec);
    preparation.spec = std::move(*spec);
    const auto await = [this, client = preparation.client, bytes = body.size()](const std::vector<std::string>& adapters,
                                                                                AdapterWaits::Work go_on) {
      waits_.run_after_look(adapters, client, bytes, std::move(go_on));
    };
    model = api_.preparer().find_model(preparation.spec, *preparation.access, await, [this, &preparation, back](Result<FoundModel> found) {
      finish(preparation, std::move(found), back);
    });
    return {};
  });
  if (!is_read) return finish(preparation, tl::unexpected(is_read.error()), std::move(back));
  if (model) finish(preparation, std::move(*model), std::move(back));
}

void GenerationRoutes::finish(Preparation& preparation, Result<FoundModel> model, std::function<void()> back) {
  preparation.prepared = run_caught([&]() -> Result<PreparedRequest> {
    if (!model) return forward_error(model);
    return finish_within(std::move(preparation.body.memory), api_.preparer(),
                         {std::move(preparation.spec), std::move(*model), preparation.work_bytes});
  });
  const Result<bool> needs_form =
      run_caught([&]() -> Result<bool> { return preparation.prepared.has_value() && !api_.constraints().is_done(*preparation.prepared); });
  if (!needs_form) preparation.prepared = tl::unexpected(needs_form.error());
  if (needs_form && *needs_form) return compile_form(preparation, std::move(back));
  post_(std::move(back));
}

void GenerationRoutes::compile_form(Preparation& preparation, std::function<void()> back) {
  const Status queued = run_caught([&]() -> Status {
    std::function<void()> job = [this, &preparation, back]() mutable {
      const Status compiled = run_caught([&]() -> Status {
        if (preparation.client_is_gone->load()) return error("cancelled", "The client has left.");
        return api_.constraints().compile(*preparation.prepared, preparation.client);
      });
      if (!compiled) preparation.prepared = tl::unexpected(compiled.error());
      post_(std::move(back));
    };
    if (constraint_pool_.try_run(preparation.client, std::move(job))) return {};
    return error("constraint_queue_full", "Too many forms wait to be compiled; try again soon");
  });
  if (queued) return;
  preparation.prepared = tl::unexpected(queued.error());
  post_(std::move(back));
}

void GenerationRoutes::end_overdue(Timestamp now) {
  for (const std::shared_ptr<GenerationJob>& job : preparing_) {
    if (job->is_overdue(now)) job->end_overdue();
  }
}

void GenerationRoutes::fail_preparing(const Error& error) {
  for (const std::shared_ptr<GenerationJob>& job : preparing_) job->fail(error);
}

}  // namespace slora
