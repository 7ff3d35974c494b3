#include "api/local_api.h"

#include <limits>
#include <utility>

#include "base/caught.h"
#include "base/check.h"

namespace slora {
namespace {

// Hands everything on, and remembers when it was the last.
class WatchedSink final : public AnswerSink {
 public:
  explicit WatchedSink(AnswerSink& sink) : sink_(sink) {}

  void part(const AnswerPart& part) override { sink_.part(part); }
  void done(const Answer& answer) override {
    is_over_ = true;
    sink_.done(answer);
  }
  void failed(const ApiError& error) override {
    is_over_ = true;
    sink_.failed(error);
  }

  [[nodiscard]] bool is_over() const { return is_over_; }

 private:
  AnswerSink& sink_;
  bool is_over_ = false;
};

}  // namespace

Result<std::unique_ptr<LocalApi>> LocalApi::create(ApiOptions options) {
  // Bounded by what the sequences that run may generate.
  auto posted = std::make_unique<Work>(std::numeric_limits<std::size_t>::max());
  const auto post = [&queue = *posted](std::function<void()> work) {
    check(queue.try_push(std::move(work)), "expected an unbounded queue to take all events");
  };
  Result<std::unique_ptr<Api>> api = Api::create(std::move(options), post);
  if (!api) return forward_error(api);
  return std::unique_ptr<LocalApi>(new LocalApi(std::move(posted), std::move(*api)));
}

void LocalApi::answer(Endpoint endpoint, const Json& request, AnswerSink& sink) {
  const auto watched = std::make_shared<WatchedSink>(sink);  // shared with the job
  start(endpoint, request, watched);
  while (!watched->is_over()) wait();
}

std::shared_ptr<GenerationJob> LocalApi::start(Endpoint endpoint, const Json& request, std::shared_ptr<AnswerSink> sink) {
  std::shared_ptr<GenerationJob> job = api_->make_job(std::move(sink), {.tenant = {}, .client = {}, .random = random_()});
  job->start(run_caught([&]() -> Result<PreparedRequest> {
    Result<PreparedRequest> prepared = api_->preparer().prepare_json(endpoint, request);
    if (!prepared) return prepared;
    if (Status compiled = api_->constraints().compile(*prepared, {}); !compiled) return forward_error(compiled);
    return prepared;
  }));
  return job;
}

void LocalApi::wait() {
  if (api_->jobs().is_empty()) return;
  const std::optional<std::function<void()>> work = posted_->pop();
  check(work.has_value(), "expected the queue to stay open while the API lives");
  (*work)();
}

}  // namespace slora
