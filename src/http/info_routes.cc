#include "http/info_routes.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "api/constraint_step.h"
#include "formats/json.h"
#include "http/responses.h"

namespace slora {
namespace {

// Paths may contain bytes that are not UTF-8.
HttpResponse json_of(const Json& body) { return json_response(body.dump(-1, ' ', false, Json::error_handler_t::replace)); }

HttpResponse flush_response(bool was_done) {
  if (!was_done) return error_response({"busy", "Requests run or wait, so nothing was dropped; ask again when they have ended.", {}});
  return text_response("Cache flushed.\n");
}

}  // namespace

InfoRoutes::InfoRoutes(std::string model_name, std::string model_path, Runtime& runtime, AnswerPool::Post post)
    : model_name_(std::move(model_name)), model_path_(std::move(model_path)), runtime_(runtime), post_(std::move(post)) {}

void InfoRoutes::model(const std::shared_ptr<Exchange>& exchange) const {
  exchange->respond(json_of({{"model_path", model_path_},
                             {"served_model_name", model_name_},
                             {"tokenizer_path", model_path_},
                             {"is_generation", true},
                             {"preferred_sampling_params", nullptr},
                             {"weight_version", "default"},
                             {"has_image_understanding", false},
                             {"has_audio_understanding", false},
                             {"model_type", name_of(runtime_.model_config().family)}}));
}

void InfoRoutes::server(const std::shared_ptr<Exchange>& exchange) const {
  const SchedulerOptions& scheduler = runtime_.engine().options().scheduler;
  const EngineStats stats = runtime_.engine().stats();
  const Json state = {{"running_requests", stats.scheduler.running},
                      {"waiting_requests", stats.scheduler.waiting + stats.scheduler.loading},
                      {"steps", stats.steps},
                      {"pages_total", stats.scheduler.pages_total},
                      {"pages_free", stats.scheduler.pages_free},
                      {"adapters_resident", stats.adapters_resident}};
  exchange->respond(json_of({{"version", SLORA_VERSION},
                             {"model_path", model_path_},
                             {"served_model_name", model_name_},
                             {"tokenizer_path", model_path_},
                             {"context_length", runtime_.max_model_len()},
                             {"page_size", scheduler.page_tokens},
                             {"max_total_num_tokens", std::int64_t{scheduler.page_count} * scheduler.page_tokens},
                             {"max_running_requests", scheduler.running_max},
                             {"max_queued_requests", scheduler.waiting_max},
                             {"chunked_prefill_size", scheduler.step_tokens_max},
                             {"schedule_policy", runtime_.policy_name()},
                             {"tp_size", runtime_.shard_count()},
                             {"dp_size", 1},
                             {"enable_lora", true},
                             {"grammar_backend", constraint_library().empty() ? "none" : constraint_library()},
                             {"internal_states", Json::array({state})}}));
}

void InfoRoutes::note_waiting(const std::shared_ptr<Exchange>& exchange) {
  std::erase_if(flushes_, [](const std::weak_ptr<Exchange>& flush) { return flush.expired(); });
  flushes_.push_back(exchange);
}

void InfoRoutes::pause(const std::shared_ptr<Exchange>& exchange) {
  answer_after(
      exchange, [this](OnDone on_done) { runtime_.engine().pause(std::move(on_done)); }, "Paused: sequences stay where they are.");
}

void InfoRoutes::resume(const std::shared_ptr<Exchange>& exchange) {
  answer_after(
      exchange, [this](OnDone on_done) { runtime_.engine().resume(std::move(on_done)); }, "Resumed.");
}

void InfoRoutes::is_paused(const std::shared_ptr<Exchange>& exchange) const {
  exchange->respond(json_of({{"is_paused", runtime_.engine().stats().is_paused}}));
}

// As flush_cache(): the engine's thread has no reference of its own to the exchange.
void InfoRoutes::answer_after(const std::shared_ptr<Exchange>& exchange, const std::function<void(OnDone)>& start, std::string_view done) {
  note_waiting(exchange);
  struct Waiting {
    std::shared_ptr<Exchange> exchange;
    std::string done;
    Status status;
  };
  const auto waiting = std::make_shared<Waiting>(Waiting{exchange, std::string(done), {}});
  std::function<void()> back = [waiting] {
    waiting->exchange->respond(waiting->status ? text_response(std::move(waiting->done)) : error_response(waiting->status.error()));
  };
  start([post = post_, waiting = waiting.get(), back = std::move(back)](Status status) mutable {
    waiting->status = std::move(status);
    post(std::move(back));
  });
}

void InfoRoutes::flush_cache(const std::shared_ptr<Exchange>& exchange) {
  note_waiting(exchange);
  struct Flushing {
    std::shared_ptr<Exchange> exchange;
    bool was_done = false;
  };
  // The engine's thread has no reference of its own to the exchange: the last one must be released on the I/O thread.
  const auto flushing = std::make_shared<Flushing>(Flushing{exchange});
  std::function<void()> back = [flushing] { flushing->exchange->respond(flush_response(flushing->was_done)); };
  runtime_.engine().clear_caches([post = post_, flushing = flushing.get(), back = std::move(back)](bool was_done) mutable {
    flushing->was_done = was_done;
    post(std::move(back));
  });
}

void InfoRoutes::fail_flushes(const Error& error) {
  for (const std::weak_ptr<Exchange>& flush : std::exchange(flushes_, {})) {
    if (const std::shared_ptr<Exchange> exchange = flush.lock()) exchange->respond(error_response(error));
  }
}

}  // namespace slora
