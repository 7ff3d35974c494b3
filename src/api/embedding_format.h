#pragma once
#include <string>
#include <vector>

#include "api/response_format.h"

namespace slora {

// The answers of /v1/embeddings, and of /v1/score and /v1/rerank, whose scores are the cosines of embeddings. None is a stream.
class EmbeddingFormat final : public ResponseFormat {
 public:
  EmbeddingFormat(const PreparedRequest& request, AnswerLabel label);

  std::string body(const Answer& answer) const override;
  std::vector<std::string> part_messages(const AnswerPart&) override { return {}; }
  std::vector<std::string> end_messages(const Answer&) override { return {}; }

 private:
  const AnswerLabel label_;
};

}  // namespace slora
