#include "api/generation_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "api/job_table.h"
#include "api/json_text.h"
#include "api/request_memory.h"
#include "base/caught.h"
#include "base/check.h"
#include "base/log.h"

namespace slora {
namespace {

std::string json_string_of(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

// Of a request that the queue never has places for: names the field that asks for them.
Error at_field_at_fault(Error error, const RequestSpec& spec) {
  if (kind_of(error.code) != ErrorKind::invalid_request) return error;
  const std::string_view n = spec.endpoint == Endpoint::sglang ? "sampling_params.n" : "n";
  error.param = spec.output.n > 1 ? n : std::string_view(spec.prompt.field);
  error.message = fmt::format("{}: {}", error.param, error.message);
  return error;
}

void note_request(const AdapterVersion& adapter, Timestamp now) {
  adapter.account().note_request(now);
  if (adapter.has_image()) adapter.account().add(AdapterFigure::hits);
  for (const BlendComponent& component : adapter.components()) component.version->account().note_use(now);
}

void count_end(AdapterAccount& account, std::int64_t generation_tokens, std::string_view finish_reason, Timestamp now) {
  const AdapterFigure end = finish_reason == "abort"    ? AdapterFigure::aborted
                            : finish_reason == "length" ? AdapterFigure::cut
                                                        : AdapterFigure::stopped;
  account.add(end);
  account.add(AdapterFigure::generation_tokens, static_cast<std::uint64_t>(generation_tokens));
  account.note_use(now);
}

// What the answer has before its first token.
void begin_answer(AnsweredChoice& choice, const PreparedRequest::Prompt& prompt, bool is_taken_apart) {
  choice.is_taken_apart = is_taken_apart;
  if (is_taken_apart && !prompt.echo.empty()) {
    choice.note_stretch(AnswerEvent::Kind::content);
    choice.deltas.push_back({{AnswerEvent::Kind::content, prompt.echo}, 0});
  }
  choice.text = prompt.echo;
}

}  // namespace

GenerationJob::GenerationJob(std::shared_ptr<AnswerSink> sink, const JobServices& services, JobOrigin origin)
    : sink_(std::move(sink)), services_(services), origin_(std::move(origin)), arrival_(services.clock.now()) {}

void GenerationJob::start(Result<PreparedRequest> prepared) {
  check(!std::exchange(started_, true), "expected a job to be started once");
  try {
    take_prepared(std::move(prepared));
  } catch (...) {
    fail(error_of_exception());
  }
}

void GenerationJob::set_timeout(float seconds) {
  timeout_seconds_ = seconds;
  deadline_ = arrival_ + std::chrono::duration_cast<Timestamp>(std::chrono::duration<float>(seconds));
}

void GenerationJob::take_prepared(Result<PreparedRequest> prepared) {
  if (over_) return;
  if (!prepared) return fail(prepared.error());
  if (prepared->spec.constraint)
    return fail({"internal_error", "The form of the answer was not compiled.", prepared->spec.constraint_field});
  answer_.request = std::move(*prepared);
  if (const std::optional<float> timeout = answer_.request.spec.timeout_seconds) set_timeout(*timeout);
  bytes_ = answer_.request.memory.bytes();
  services_.metrics.count_unknown_fields(answer_.request.spec.unknown_field_count);
  if (is_overdue(services_.clock.now())) return end_overdue();
  if (const Status submitted = submit_all(); !submitted) fail(submitted.error());
}

Status GenerationJob::submit_all() {
  const PreparedRequest& request = answer_.request;
  const auto n = static_cast<std::size_t>(request.spec.output.n);
  // All or none: those that were taken before a refusal would keep others out until the engine has seen that they are cancelled.
  QueueDemand demand{
      .sequences = n * request.prompts.size(), .prompt_tokens = 0, .last_prompt_tokens = request.prompts.back().tokens.size()};
  for (const PreparedRequest::Prompt& prompt : request.prompts) demand.prompt_tokens += n * prompt.tokens.size();
  if (Status fits = services_.generator.check_queue(origin_.client, demand); !fits)
    return tl::unexpected<Error>(at_field_at_fault(std::move(fits).error(), request.spec));
  if (origin_.quota) {
    if (Status has_tokens = origin_.quota->check(services_.clock.now()); !has_tokens) return has_tokens;
  }
  choices_.resize(request.prompts.size() * n);
  answer_.choices.resize(choices_.size());
  answer_.prompts.resize(request.prompts.size());
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    const std::size_t prompt_index = i / n;
    const PreparedRequest::Prompt& prompt = request.prompts[prompt_index];
    answer_.choices[i].prompt_index = prompt_index;
    Choice& choice = choices_[i];
    choice.sequence = services_.generator.next_sequence_id();
    const AnswerFormat* const format = format_to_read(request);
    choice.text.emplace(request.text->tokenizer(), prompt.tokens, request.spec, format);
    begin_answer(answer_.choices[i], prompt, format != nullptr);
    if (format != nullptr) choice.reader = std::make_unique<AnswerReader>(request, prompt_index, origin_.random + (i << 32));
    choice.times.arrival = arrival_;

    GenerationRequest sequence;
    sequence.id = choice.sequence;
    sequence.tenant = origin_.tenant;
    sequence.client = origin_.client;
    sequence.priority = request.spec.priority;
    sequence.arrival = arrival_;
    sequence.deadline = deadline_.value_or(kNoDeadline);
    sequence.prompt = prompt.tokens;
    sequence.output_tokens_max = prompt.output_tokens_max;
    if (prompt.adapter_begin) sequence.adapter = request.adapter;
    sequence.adapter_begin = prompt.adapter_begin.value_or(0);
    sequence.sampling = request.spec.sampling;
    sequence.pooling = request.spec.embedding.pooling;
    sequence.sampling.seed = request.spec.seed ? static_cast<std::uint64_t>(*request.spec.seed) : origin_.random + prompt_index;
    sequence.constraint = request.constraint;
    sequence.choice = static_cast<std::uint32_t>(i % n);
    // The choices of a prompt share its log-probabilities, except in a stream, where each sends them with its own first token.
    if (!request.spec.output.stream && i % n != 0) sequence.sampling.prompt_logprob_count = -1;

    services_.jobs.add(choice.sequence, shared_from_this(), i, {static_cast<std::int64_t>(prompt.tokens.size()), prompt.output_tokens_max});
    if (Status submitted = run_caught([&] { return services_.generator.submit(std::move(sequence)); }); !submitted) {
      services_.jobs.remove(choice.sequence);
      return submitted;
    }
    choice.ended = false;
    ++open_count_;
    if (request.adapter) note_request(*request.adapter, arrival_);
  }
  if (origin_.quota) origin_.quota->take(demand.prompt_tokens, services_.clock.now());  // now: what is refused takes none
  return {};
}

void GenerationJob::on_event(std::size_t choice_index, const TokenEvent& event) {
  try {
    take_event(choice_index, event);
  } catch (...) {
    fail(error_of_exception());
  }
}

void GenerationJob::take_event(std::size_t choice_index, const TokenEvent& event) {
  Choice& choice = choices_[choice_index];
  AnsweredChoice& answered = answer_.choices[choice_index];
  if (over_ || choice.ended) return;
  if (!event.end && is_overdue(services_.clock.now())) return end_overdue();
  if (event.end == EndReason::adapter_failed || event.end == EndReason::failed) {
    return fail({event.error_code.empty() ? "internal_error" : event.error_code, event.error_message,
                 event.end == EndReason::failed ? "" : "model"});
  }
  if (event.end == EndReason::given_up) return fail({event.error_code, event.error_message, {}});
  if (event.end == EndReason::cancelled) return fail({"draining", "The server is shutting down.", {}});

  if (const Status reserved = reserve_for(event); !reserved) return fail(reserved.error());
  AnsweredPrompt& prompt = answer_.prompts[answered.prompt_index];
  prompt.cached_tokens = std::max<std::int64_t>(prompt.cached_tokens, event.cached_tokens);
  if (prompt.logprobs.empty()) prompt.logprobs = event.prompt_logprobs;
  if (!event.embedding.empty()) answered.embedding = event.embedding;
  if (event.token.id >= 0) take_token(choice_index, event);
  if (event.end && !choice.ended) {
    const RequestSpec& spec = answer_.request.spec;
    StopMatcher::Output rest = choice.text->finish();
    add_text(choice_index, rest.text);
    if (rest.stop) {
      end_choice(choice_index, finish_text(choice_index, "stop", AnswerEnd::cut), json_string_of(spec.output.stop[*rest.stop]));
    } else if (event.end == EndReason::complete) {
      answered.is_complete = true;
      end_choice(choice_index, finish_text(choice_index, "stop", AnswerEnd::finished), {});
    } else if (event.end == EndReason::stop) {
      const bool asked = std::ranges::find(spec.output.stop_token_ids, event.token.id) != spec.output.stop_token_ids.end();
      end_choice(choice_index, finish_text(choice_index, "stop", AnswerEnd::finished), asked ? fmt::format("{}", event.token.id) : "");
    } else {
      end_choice(choice_index, finish_text(choice_index, "length", AnswerEnd::cut), {});
    }
  }
  send_part(choice_index);
  if (over_ || open_count_ > 0) return;  // over: the sink cancelled within part()
  sink_->done(answer_);
  if (!std::exchange(over_, true)) report_end(nullptr, ClientLeft::no);
}

Status GenerationJob::reserve_for(const TokenEvent& event) {
  constexpr std::size_t step = 16 << 10;
  bytes_ += bytes_of(event);
  ByteReservation& memory = answer_.request.memory;
  return bytes_ <= memory.bytes() ? Status{} : memory.continue_to(bytes_ + step);
}

void GenerationJob::take_token(std::size_t choice_index, const TokenEvent& event) {
  Choice& choice = choices_[choice_index];
  AnsweredChoice& answered = answer_.choices[choice_index];
  const RequestSpec& spec = answer_.request.spec;
  const Timestamp now = services_.clock.now();
  if (answered.tokens.empty()) {
    const std::int64_t prompt_tokens = answer_.usage_of(answered).prompt_tokens;
    services_.metrics.count_prompt(prompt_tokens);
    if (const AdapterVersion* const adapter = answer_.request.adapter.get()) {
      adapter->account().add(AdapterFigure::prompt_tokens, static_cast<std::uint64_t>(prompt_tokens));
      adapter->account().observe_first_token(seconds(now - arrival_));
    }
    choice.times.started = event.started;
    choice.times.first_token = now;
    choice.adapter_load_seconds = event.adapter_load_seconds;
    if (spec.output.echo && spec.output.logprobs) choice.characters = prompt_characters(answered);
  }
  if (spec.output.scores_only()) return;  // the engine draws at least one token
  services_.metrics.count_token(choice.times, now);
  if (origin_.quota) origin_.quota->take(1, now);
  choice.times.last_token = now;
  answered.tokens.push_back(event.token);
  if (answered.is_taken_apart) answered.token_is_hidden.push_back(false);
  if (spec.output.logprobs) choice.characters += display_length(answer_.request.text->tokenizer(), event.token.id);
  // The token that ended the sequence is no part of its text.
  if (event.end == EndReason::stop && !spec.output.include_stop_text) return;
  StopMatcher::Output output = choice.text->push(event.token.id);
  add_text(choice_index, output.text);
  if (choice.reader != nullptr && choice.reader->is_in_reasoning()) {
    ++answered.reasoning_tokens;
    answered.token_is_hidden.back() = !spec.chat.include_reasoning;
  }
  if (!output.stop) return;
  if (!event.end) services_.generator.cancel(choice.sequence);
  end_choice(choice_index, finish_text(choice_index, "stop", AnswerEnd::cut), json_string_of(spec.output.stop[*output.stop]));
}

void GenerationJob::add_text(std::size_t choice_index, std::string_view text) {
  Choice& choice = choices_[choice_index];
  AnsweredChoice& answered = answer_.choices[choice_index];
  if (choice.reader == nullptr) {
    answered.text += text;
  } else {
    choice.reader->push(text, answered);
  }
}

std::string_view GenerationJob::finish_text(std::size_t choice_index, std::string_view reason, AnswerEnd end) {
  Choice& choice = choices_[choice_index];
  AnsweredChoice& answered = answer_.choices[choice_index];
  if (choice.reader == nullptr) return reason;
  const bool is_cut_call = end == AnswerEnd::cut && choice.reader->is_in_call();
  choice.reader->finish(end, answered);
  const bool is_named = answer_.request.spec.chat.tool_choice.mode == ToolChoice::Mode::named;
  const bool asks_for_tools = reason == "stop" && !answered.calls.empty() && !is_cut_call && !is_named;
  return asks_for_tools ? "tool_calls" : reason;
}

std::size_t GenerationJob::prompt_characters(const AnsweredChoice& answered) const {
  std::size_t count = 0;
  for (const TokenId token : answer_.prompt_tokens_of(answered)) count += display_length(answer_.request.text->tokenizer(), token);
  return count;
}

void GenerationJob::end_choice(std::size_t choice_index, std::string_view finish_reason, std::string stop_reason) {
  Choice& choice = choices_[choice_index];
  AnsweredChoice& answered = answer_.choices[choice_index];
  answered.finish_reason = finish_reason;
  answered.stop_reason = std::move(stop_reason);
  choice.ended = true;
  --open_count_;
  const Usage usage = answer_.usage_of(answered);
  services_.metrics.count_end(choice.times, usage.prompt_tokens, usage.completion_tokens, finish_reason);
  if (answer_.request.adapter) count_end(answer_.request.adapter->account(), usage.completion_tokens, finish_reason, services_.clock.now());
}

void GenerationJob::send_part(std::size_t choice_index) {
  Choice& choice = choices_[choice_index];
  const AnsweredChoice& answered = answer_.choices[choice_index];
  sink_->part(
      {answer_, choice_index, std::exchange(choice.is_first_part, false), choice.text_sent, choice.tokens_sent, choice.characters_sent});
  answer_.choices[choice_index].deltas.clear();
  choice.text_sent = answered.text.size();
  choice.tokens_sent = answered.tokens.size();
  choice.characters_sent = choice.characters;
}

void GenerationJob::cancel() {
  const bool was_over = std::exchange(over_, true);
  cancel_all("abort");
  if (!was_over) report_end(nullptr, ClientLeft::yes);
}

void GenerationJob::end_overdue() {
  fail({"deadline_exceeded", fmt::format("The answer was not complete after the {} s of the request's timeout.", timeout_seconds_),
        "timeout"});
}

void GenerationJob::fail(const Error& error) {
  if (std::exchange(over_, true)) return;
  ApiError failure{ErrorKind::unavailable, "out_of_memory", {}, {}};
  try {
    cancel_all("abort");
    failure = to_api_error(error);
    if (origin_.quota && error.code == "token_quota_exceeded")
      failure.retry_seconds = origin_.quota->seconds_to_wait(services_.clock.now());
  } catch (...) {
    log_exception("a request failed");
  }
  if (failure.kind == ErrorKind::internal || failure.code == "out_of_memory") {
    log_warning("a request for {} failed: {} ({})", answer_.request.model_name, error.message, error.code);
  }
  sink_->failed(failure);
  report_end(&failure, ClientLeft::no);
}

void GenerationJob::report_end(const ApiError* failure, ClientLeft client_left) {
  if (!origin_.report) return;
  try {
    RequestReport report{.answer = answer_,
                         .failure = failure,
                         .client_left = client_left == ClientLeft::yes,
                         .times = {.arrival = arrival_},
                         .ended = services_.clock.now(),
                         .adapter_load_seconds = {}};
    const auto take_earlier = [](Timestamp& time, Timestamp other) {
      if (other != Timestamp{} && (time == Timestamp{} || other < time)) time = other;
    };
    for (const Choice& choice : choices_) {
      take_earlier(report.times.started, choice.times.started);
      take_earlier(report.times.first_token, choice.times.first_token);
      report.times.last_token = std::max(report.times.last_token, choice.times.last_token);
      if (!report.adapter_load_seconds) report.adapter_load_seconds = choice.adapter_load_seconds;
    }
    origin_.report(report);
  } catch (...) {
    log_exception("the end of a request could not be reported");
  }
}

void GenerationJob::cancel_all(std::string_view reason) {
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    if (choices_[i].ended) continue;
    services_.generator.cancel(choices_[i].sequence);
    end_choice(i, reason, {});
  }
}

}  // namespace slora
