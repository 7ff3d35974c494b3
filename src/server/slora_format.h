#pragma once
#include <string>

#include "server/response_format.h"
#include "text/tokenizer.h"

namespace slora {

// The answers of the S-LoRA paper's server (arXiv 2311.03285): {"generated_text": [text], "count_output_tokens"} whole, and one
// event for each token as a stream, ended by the one that is "finished".
class SloraFormat final : public ResponseFormat {
 public:
  // `tokenizer` outlives it.
  explicit SloraFormat(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  std::string body(const Answer& answer) const override;
  std::string part_event(const Answer& answer, const NewPart& part) const override;
  std::string end_of_stream(const Answer&) const override { return {}; }

 private:
  const Tokenizer& tokenizer_;
};

}  // namespace slora
