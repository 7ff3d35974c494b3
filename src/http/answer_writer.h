#pragma once
#include <cstdint>
#include <memory>

#include "api/answer_sink.h"
#include "api/response_format.h"
#include "http/types.h"

namespace slora {

// Writes one answer to its exchange in the form of its endpoint: as one body, or as server-sent events. A stream begins with the first
// token, so that what fails before is answered with a status of its own. Owned by its job; I/O thread.
class AnswerWriter final : public AnswerSink {
 public:
  // `random` makes the answer's id.
  AnswerWriter(std::shared_ptr<Exchange> exchange, std::uint64_t random);

  void part(const AnswerPart& part) override;
  void done(const Answer& answer) override;
  void failed(const ApiError& error) override;

 private:
  [[nodiscard]] const ResponseFormat& format_of(const PreparedRequest& request);

  const std::shared_ptr<Exchange> exchange_;
  const AnswerLabel label_;
  std::unique_ptr<ResponseFormat> format_;  // made when the request is known
  bool is_streaming_ = false;
};

}  // namespace slora
