#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/answer_reader.h"
#include "api/answer_sink.h"
#include "api/choice_text.h"
#include "api/generator.h"
#include "api/request_metrics.h"
#include "api/request_preparer.h"
#include "api/request_report.h"
#include "api/token_quota.h"
#include "base/clock.h"
#include "base/result.h"

namespace slora {

class JobTable;

// What every job works with. All of it outlives the jobs.
struct JobServices {
  Generator& generator;
  JobTable& jobs;
  RequestMetrics& metrics;
  const Clock& clock;
};

// Where a request comes from.
struct JobOrigin {
  TenantId tenant;
  ClientId client;
  std::uint64_t random = 0;             // makes the seed where the client gave none
  std::shared_ptr<TokenQuota> quota{};  // shared by all requests of a key; null: none
  ReportRequest report{};               // called once, when the request has ended; may be empty
};

// Answers one generation request: submits its sequences, turns their tokens into text, and gives the answer to its sink. Runs on one
// thread, that of the job table. Shared by whoever may cancel it, and by the table for as long as a sequence may still send events.
class GenerationJob : public std::enable_shared_from_this<GenerationJob> {
 public:
  // `sink` is shared with its maker, who may want to read from it what it has received.
  GenerationJob(std::shared_ptr<AnswerSink> sink, const JobServices& services, JobOrigin origin);

  // That the request seems to have, before it is prepared: it may end with its time over while it waits for that.
  void set_timeout(float seconds);
  // Requires: called once; cancel() and fail() may have come before.
  void start(Result<PreparedRequest> prepared);
  void on_event(std::size_t choice_index, const TokenEvent& event);
  // Stops the request: the sink receives nothing after this. May be called by the sink within part().
  void cancel();
  // Ends it with an error, whatever parts the sink has received so far.
  void fail(const Error& error);

  // Whether the time since it was made is over that its client gave it.
  [[nodiscard]] bool is_overdue(Timestamp now) const { return !over_ && deadline_ && now >= *deadline_; }
  // Requires: it is overdue.
  void end_overdue();

  [[nodiscard]] TenantId tenant() const { return origin_.tenant; }
  [[nodiscard]] bool uses_adapter() const { return answer_.request.adapter != nullptr; }
  [[nodiscard]] const std::string& model_name() const { return answer_.request.model_name; }
  [[nodiscard]] bool has_token(std::size_t choice_index) const { return !answer_.choices[choice_index].tokens.empty(); }

 private:
  enum class ClientLeft : bool { no, yes };
  // The state of the sequence that becomes one choice of the answer.
  struct Choice {
    SequenceId sequence;
    std::optional<ChoiceText> text;
    std::unique_ptr<AnswerReader> reader;  // null: the text is content and nothing else
    bool is_first_part = true;
    std::size_t text_sent = 0, tokens_sent = 0;       // to the sink
    std::size_t characters = 0, characters_sent = 0;  // of its tokens, the echoed prompt's first; only with log-probabilities
    RequestMetrics::Times times;
    std::optional<float> adapter_load_seconds;  // see TokenEvent
    bool ended = true;                          // or not submitted
  };

  void take_prepared(Result<PreparedRequest> prepared);
  [[nodiscard]] Status submit_all();
  void take_event(std::size_t choice_index, const TokenEvent& event);
  // Reserves the memory of what this event adds to the answer.
  [[nodiscard]] Status reserve_for(const TokenEvent& event);
  void take_token(std::size_t choice_index, const TokenEvent& event);
  [[nodiscard]] std::size_t prompt_characters(const AnsweredChoice& answered) const;
  void add_text(std::size_t choice_index, std::string_view text);
  // At the end of a choice's text; returns why it ended: `reason`, or "tool_calls".
  [[nodiscard]] std::string_view finish_text(std::size_t choice_index, std::string_view reason, AnswerEnd end);
  void end_choice(std::size_t choice_index, std::string_view finish_reason, std::string stop_reason);
  void send_part(std::size_t choice_index);
  void cancel_all(std::string_view reason);
  // Requires: the request has just ended.
  void report_end(const ApiError* failure, ClientLeft client_left);

  const std::shared_ptr<AnswerSink> sink_;
  const JobServices services_;
  const JobOrigin origin_;
  const Timestamp arrival_;
  std::optional<Timestamp> deadline_;
  float timeout_seconds_ = 0;  // that the deadline comes from
  Answer answer_;
  std::vector<Choice> choices_;  // [prompts * n], as answer_.choices
  std::size_t open_count_ = 0;   // choices that have not ended
  std::size_t bytes_ = 0;        // of the request and its answer
  bool started_ = false;
  bool over_ = false;  // the sink receives nothing more
};

}  // namespace slora
