#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "server/answer.h"
#include "server/choice_text.h"
#include "server/generator.h"
#include "server/http_types.h"
#include "server/request_metrics.h"
#include "server/request_preparer.h"
#include "server/response_format.h"

namespace slora {

class JobTable;

// What every job works with. All of it outlives the jobs.
struct JobServices {
  Generator& generator;
  JobTable& jobs;
  const Tokenizer& tokenizer;
  RequestMetrics& metrics;
  const Clock& clock;
};

// Answers one generation request: submits its sequences, turns their tokens into text, and writes the answer. A stream begins with the
// first token, so that what fails before is answered with a status of its own. I/O thread. Shared by the exchange, which tells it of a
// client that left, and by the table, for as long as a sequence may still send events.
class GenerationJob : public std::enable_shared_from_this<GenerationJob> {
 public:
  // `random` makes the id, and the seed where the client gave none.
  GenerationJob(std::shared_ptr<Exchange> exchange, const JobServices& services, std::uint64_t random);

  // Requires: called once; on_client_gone() may have come before.
  void start(Result<PreparedRequest> prepared);
  void on_event(std::size_t choice_index, const TokenEvent& event);
  void on_client_gone();
  // Ends it with an error, whatever it has written so far.
  void fail(const Error& error);

  [[nodiscard]] bool uses_adapter() const { return answer_.request.adapter != nullptr; }
  [[nodiscard]] const std::string& model_name() const { return answer_.request.model_name; }
  [[nodiscard]] bool has_token(std::size_t choice_index) const { return !answer_.choices[choice_index].tokens.empty(); }

 private:
  // One sequence on its way to becoming a choice of the answer.
  struct Choice {
    SequenceId sequence;
    std::optional<ChoiceText> text;
    NewPart unsent;                   // of a stream
    std::size_t character_count = 0;  // of the tokens told in log-probabilities
    RequestMetrics::Times times;
    bool ended = false;
  };

  [[nodiscard]] Status submit_all();
  void take_token(std::size_t choice_index, const TokenEvent& event);
  [[nodiscard]] std::size_t prompt_characters(const AnsweredChoice& answered) const;
  void end_choice(std::size_t choice_index, std::string_view finish_reason, std::string stop_reason);
  void send_part(std::size_t choice_index);
  void complete();
  void cancel_all(std::string_view reason);

  const std::shared_ptr<Exchange> exchange_;
  const JobServices services_;
  const std::uint64_t random_;
  const Timestamp arrival_;
  Answer answer_;
  std::unique_ptr<ResponseFormat> format_;
  std::vector<Choice> choices_;  // [prompts * n], as answer_.choices
  std::size_t open_count_ = 0;   // choices that have not ended
  bool streaming_ = false;       // the stream has begun
  bool over_ = false;            // nothing more will be written
};

}  // namespace slora
