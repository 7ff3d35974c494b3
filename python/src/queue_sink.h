#pragma once
#include <cstdint>
#include <functional>
#include <memory>

#include "answer_queue.h"
#include "api/answer_sink.h"

namespace slora::python {

// Whether a caller wants an answer token by token, or once it is complete.
enum class Delivery : std::uint8_t { whole, in_parts };

// Passes the answer to one request on to a queue. Used on the jobs' thread.
class QueueSink final : public AnswerSink {
 public:
  // `over` is called after the last update, and when nobody reads the queue any more.
  QueueSink(std::uint64_t request, Delivery delivery, std::shared_ptr<AnswerQueue> queue, std::function<void()> over)
      : request_(request), delivery_(delivery), queue_(std::move(queue)), over_(std::move(over)) {}

  void part(const AnswerPart& part) override;
  void done(const Answer& answer) override;
  void failed(const ApiError& error) override;

 private:
  [[nodiscard]] AnswerUpdate make_update(const Answer* answer);
  void push_last(AnswerUpdate update);

  const std::uint64_t request_;
  const Delivery delivery_;
  const std::shared_ptr<AnswerQueue> queue_;  // shared with the Python object that reads it
  const std::function<void()> over_;
  bool has_prompt_ = false;  // the queue has received it
  double first_token_seconds_ = 0;
};

}  // namespace slora::python
