#pragma once
#include <string>
#include <vector>

#include "api/response_format.h"
#include "text/tokenizer.h"

namespace slora {

// The answers of the S-LoRA paper's server (arXiv 2311.03285): {"generated_text": [text], "count_output_tokens"} whole, and one
// event for each token as a stream, ended by the one that is "finished".
class SloraFormat final : public ResponseFormat {
 public:
  // `tokenizer` outlives it.
  explicit SloraFormat(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  std::string body(const Answer& answer) const override;
  std::vector<std::string> part_messages(const AnswerPart& part) override;
  std::vector<std::string> end_messages(const Answer&) override { return {}; }

 private:
  const Tokenizer& tokenizer_;
};

}  // namespace slora
