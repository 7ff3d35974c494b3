#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/generation_job.h"
#include "api/job_table.h"
#include "api/request_preparer.h"
#include "api/response_format.h"
#include "api/testing/scripted_generator.h"
#include "api/testing/text_model_folder.h"
#include "api/text_model.h"
#include "base/testing/manual_clock.h"
#include "formats/json.h"

namespace slora {

// Keeps an answer as its endpoint's format writes it: one body, or the messages of a stream.
class RecordingSink final : public AnswerSink {
 public:
  void part(const AnswerPart& part) override {
    text += part.text();
    if (!part.answer.request.spec.output.stream) return;
    for (std::string& message : format_of(part.answer).part_messages(part)) messages.push_back(std::move(message));
  }
  void done(const Answer& answer) override {
    is_done = true;
    if (!answer.request.spec.output.stream) body = format_of(answer).body(answer);
    for (std::string& message : format_of(answer).end_messages(answer)) messages.push_back(std::move(message));
  }
  void failed(const ApiError& given) override { error = given; }

  // The JSON of each message but the last one, [DONE].
  std::vector<Json> events() const {
    std::vector<Json> parsed;
    for (const std::string& message : messages) {
      if (message != "[DONE]") parsed.push_back(Json::parse(message));
    }
    return parsed;
  }

  std::string text, body;
  std::vector<std::string> messages;
  std::optional<ApiError> error;
  bool is_done = false;

 private:
  ResponseFormat& format_of(const Answer& answer) {
    if (!format_) format_ = make_response_format(answer.request, {7, 0});
    return *format_;
  }

  std::unique_ptr<ResponseFormat> format_;
};

// A job whose tokens come from the test, with everything that it needs.
class GenerationJobFixture : public ::testing::Test {
 protected:
  GenerationJobFixture() {
    preparer.emplace(std::vector<std::string>{"base"}, kVocabulary, adapter_texts, generator);
    generator.on_look = [this](const AdapterVersion& version) { (void)adapter_texts.of(version); };
  }

  std::shared_ptr<GenerationJob> make_job() {
    sink = std::make_shared<RecordingSink>();
    return std::make_shared<GenerationJob>(sink, services(),
                                           JobOrigin{.tenant = TenantId{2}, .client = ClientId{5}, .random = 7, .quota = quota});
  }
  JobServices services() { return {generator, jobs, metrics, clock}; }
  std::shared_ptr<GenerationJob> start(Endpoint endpoint, const std::string& body) {
    auto job = make_job();
    Result<PreparedRequest> prepared = preparer->prepare(endpoint, body);
    if (prepared) prepared->spec.constraint.reset();  // as ConstraintStep leaves it
    job->start(std::move(prepared));
    return job;
  }
  std::shared_ptr<GenerationJob> complete(const std::string& fields) {
    return start(Endpoint::completions, R"({"prompt":"Hello",)" + fields + "}");
  }

  void deliver(std::size_t sequence, TokenId token, std::optional<EndReason> end = std::nullopt, std::vector<PromptLogprob> scores = {}) {
    TokenEvent event;
    event.prompt_logprobs = std::move(scores);
    event.sequence = generator.submitted.at(sequence).id;
    event.token = {.id = token, .logprob = -0.5F, .top = {{token, -0.5F}}};
    event.end = end;
    std::vector<TokenEvent> events;
    events.push_back(std::move(event));
    jobs.deliver(std::move(events));
  }
  // The tokens of `words`, one event each; the last ends by length.
  void deliver_text(std::size_t sequence, const std::string& words) {
    const std::vector<TokenId> tokens = text.tokenizer().encode(words, SpecialTokens::omit).value();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      deliver(sequence, tokens[i], i + 1 == tokens.size() ? std::optional(EndReason::length) : std::nullopt);
    }
  }
  Json body() const { return Json::parse(sink->body); }

  static constexpr std::int32_t kVocabulary = 200000;
  static constexpr TokenId kEnd = 3;
  const TextModelFolder folder{R"({"eos_token_id": 3, "temperature": 0.5})",
                               "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"};
  const std::shared_ptr<const TextModel> shared_text = folder.load(kVocabulary);
  const TextModel& text = *shared_text;
  AdapterTexts adapter_texts{shared_text};
  ScriptedGenerator generator;
  JobTable jobs;
  MetricsRegistry registry;
  RequestMetrics metrics{registry, "base"};
  ManualClock clock;
  std::optional<RequestPreparer> preparer;
  std::shared_ptr<RecordingSink> sink;
  std::shared_ptr<TokenQuota> quota;  // of the jobs; none
};

}  // namespace slora
