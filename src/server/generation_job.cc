#include "server/generation_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "server/error_response.h"
#include "server/job_table.h"
#include "server/json_text.h"

namespace slora {
namespace {

std::int64_t seconds_since_epoch() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string json_string_of(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

}  // namespace

GenerationJob::GenerationJob(std::shared_ptr<Exchange> exchange, const JobServices& services, std::uint64_t random)
    : exchange_(std::move(exchange)), services_(services), random_(random), arrival_(services.clock.now()) {}

void GenerationJob::start(Result<PreparedRequest> prepared) {
  if (over_) return;
  if (!prepared) return fail(prepared.error());
  request_ = std::move(*prepared);
  services_.metrics.count_unknown_fields(request_.spec.unknown_field_count);
  const std::string id = fmt::format("{}-{:016x}", request_.spec.endpoint == Endpoint::chat ? "chatcmpl" : "cmpl", random_);
  format_.emplace(request_.spec, request_.model_name, id, seconds_since_epoch(), services_.tokenizer);
  if (const Status submitted = submit_all(); !submitted) fail(submitted.error());
}

Status GenerationJob::submit_all() {
  const RequestSpec& spec = request_.spec;
  const auto n = static_cast<std::size_t>(spec.n);
  choices_.resize(request_.prompts.size() * n);
  cached_tokens_.resize(request_.prompts.size());
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    Choice& choice = choices_[i];
    choice.sequence = services_.generator.next_sequence_id();
    choice.prompt_index = i / n;
    const PreparedRequest::Prompt& prompt = request_.prompts[choice.prompt_index];
    choice.text.emplace(services_.tokenizer, prompt.tokens, spec);
    choice.part.index = static_cast<std::int32_t>(i);
    choice.part.text = prompt.echo;
    choice.times.arrival = arrival_;

    GenerationRequest sequence;
    sequence.id = choice.sequence;
    sequence.tenant = exchange_->request().tenant;
    sequence.prompt = prompt.tokens;
    sequence.output_tokens_max = prompt.output_tokens_max;
    sequence.adapter = request_.adapter;
    sequence.sampling = request_.sampling;
    sequence.sampling.seed = spec.seed ? static_cast<std::uint64_t>(*spec.seed) : random_ + choice.prompt_index;
    sequence.sampling.choice = static_cast<std::uint32_t>(i % n);

    services_.jobs.add(choice.sequence, shared_from_this(), i);
    if (Status submitted = services_.generator.submit(std::move(sequence)); !submitted) {
      services_.jobs.remove(choice.sequence);
      choice.ended = true;
      for (std::size_t later = i + 1; later < choices_.size(); ++later) choices_[later].ended = true;
      return submitted;
    }
    ++open_count_;
  }
  return {};
}

void GenerationJob::on_event(std::size_t choice_index, const TokenEvent& event) {
  Choice& choice = choices_[choice_index];
  if (over_ || choice.ended) return;
  if (event.end == EndReason::adapter_failed || event.end == EndReason::failed) {
    return fail({event.error_code.empty() ? "internal_error" : event.error_code, event.error_message,
                 event.end == EndReason::failed ? "" : "model"});
  }
  if (event.end == EndReason::given_up) return fail({"given_up", "The request waited too long for its turn; try again later.", {}});
  if (event.end == EndReason::cancelled) return fail({"draining", "The server is shutting down.", {}});

  std::int64_t& cached_tokens = cached_tokens_[choice.prompt_index];
  cached_tokens = std::max<std::int64_t>(cached_tokens, event.cached_tokens);
  if (event.token >= 0) take_token(choice, event);
  if (event.end && !choice.ended) {
    StopMatcher::Output rest = choice.text->finish();
    choice.part.text += rest.text;
    if (rest.stop) {
      end_choice(choice, "stop", json_string_of(request_.spec.stop[*rest.stop]));
    } else if (event.end == EndReason::stop) {
      const bool asked = std::ranges::find(request_.spec.stop_token_ids, event.token) != request_.spec.stop_token_ids.end();
      end_choice(choice, "stop", asked ? fmt::format("{}", event.token) : std::string());
    } else {
      end_choice(choice, "length", {});
    }
  }
  if (request_.spec.stream) send_part(choice);
  if (open_count_ == 0) complete();
}

void GenerationJob::take_token(Choice& choice, const TokenEvent& event) {
  const Timestamp now = services_.clock.now();
  if (choice.token_count == 0) {
    services_.metrics.count_prompt(prompt_tokens_of(choice));
    choice.times.started = event.started;
    choice.times.first_token = now;
  }
  services_.metrics.count_token(choice.times, now);
  choice.times.last_token = now;
  ++choice.token_count;
  if (request_.spec.logprobs) {
    if (choice.part.logprobs.empty()) choice.part.text_offset = choice.character_count;
    choice.part.logprobs.push_back({event.token, event.logprob, event.top});
    choice.character_count += format_->character_count(event.token);
  }
  // The token that ended the sequence is no part of its text.
  if (event.end == EndReason::stop && !request_.spec.include_stop_str_in_output) return;
  StopMatcher::Output output = choice.text->push(event.token);
  choice.part.text += output.text;
  if (!output.stop) return;
  if (!event.end) services_.generator.cancel(choice.sequence);
  end_choice(choice, "stop", json_string_of(request_.spec.stop[*output.stop]));
}

void GenerationJob::end_choice(Choice& choice, std::string_view finish_reason, std::string stop_reason) {
  choice.part.finish_reason = finish_reason;
  choice.part.stop_reason = std::move(stop_reason);
  choice.ended = true;
  --open_count_;
  services_.metrics.count_end(choice.times, prompt_tokens_of(choice), choice.token_count, finish_reason);
}

void GenerationJob::send_part(Choice& choice) {
  if (!std::exchange(streaming_, true)) exchange_->begin_stream("text/event-stream; charset=utf-8");
  if (!std::exchange(choice.is_open, true) && request_.spec.endpoint == Endpoint::chat)
    exchange_->send(format_->role_event(choice.part.index));
  const Usage so_far = usage();
  exchange_->send(format_->part_event(choice.part, request_.spec.continuous_usage_stats ? &so_far : nullptr));
  choice.part.text.clear();
  choice.part.logprobs.clear();
}

void GenerationJob::complete() {
  over_ = true;
  if (!request_.spec.stream) {
    std::vector<ChoicePart> parts;
    for (Choice& choice : choices_) parts.push_back(std::move(choice.part));
    HttpResponse response;
    response.body = format_->body(parts, usage());
    return exchange_->respond(std::move(response));
  }
  if (request_.spec.include_usage) exchange_->send(format_->usage_event(usage()));
  exchange_->send(OpenAiFormat::kDoneEvent);
  exchange_->end_stream();
}

void GenerationJob::on_client_gone() {
  over_ = true;
  cancel_all("abort");
}

void GenerationJob::fail(const Error& error) {
  if (std::exchange(over_, true)) return;
  cancel_all("abort");
  if (!streaming_) return exchange_->respond(error_response(error));
  exchange_->send(sse_event(error_body(error)));
  exchange_->break_stream();
}

void GenerationJob::cancel_all(std::string_view reason) {
  for (Choice& choice : choices_) {
    if (choice.ended) continue;
    services_.generator.cancel(choice.sequence);
    end_choice(choice, reason, {});
  }
}

Usage GenerationJob::usage() const {
  Usage usage;
  for (const PreparedRequest::Prompt& prompt : request_.prompts) usage.prompt_tokens += static_cast<std::int64_t>(prompt.tokens.size());
  for (const Choice& choice : choices_) usage.completion_tokens += choice.token_count;
  for (const std::int64_t cached_tokens : cached_tokens_) usage.cached_tokens += cached_tokens;
  return usage;
}

std::int64_t GenerationJob::prompt_tokens_of(const Choice& choice) const {
  return static_cast<std::int64_t>(request_.prompts[choice.prompt_index].tokens.size());
}

}  // namespace slora
