#pragma once
#include <cstdint>
#include <functional>
#include <memory>

#include "api/answer_sink.h"
#include "api/response_format.h"
#include "http/answer_pool.h"
#include "http/types.h"

namespace slora {

// Formats answers that would hold the I/O thread for too long.
struct FormattingThread {
  PostToIo post;
  std::function<bool(std::function<void()>)> try_run;  // false: too much waits
};

// Writes one answer to its exchange in the form of its endpoint: as one body, or as server-sent events. A stream begins with the first
// token, so that what fails before is answered with a status of its own. Owned by its job; I/O thread.
class AnswerWriter final : public AnswerSink {
 public:
  // `random` makes the answer's id.
  AnswerWriter(std::shared_ptr<Exchange> exchange, std::uint64_t random);

  // From now on large bodies are formatted by `thread`, which outlives this. `job` owns the answer and this object.
  void use_thread(const FormattingThread& thread, std::weak_ptr<const void> job);

  void part(const AnswerPart& part) override;
  void done(const Answer& answer) override;
  void failed(const ApiError& error) override;

 private:
  [[nodiscard]] ResponseFormat& format_of(const PreparedRequest& request);
  [[nodiscard]] bool try_format_elsewhere(const Answer& answer);

  const std::shared_ptr<Exchange> exchange_;
  const AnswerLabel label_;
  std::unique_ptr<ResponseFormat> format_;  // made when the request is known
  bool is_streaming_ = false;
  const FormattingThread* thread_ = nullptr;  // null: this one formats everything
  std::weak_ptr<const void> job_;
};

}  // namespace slora
