#include "api/response_format.h"

#include "api/embedding_format.h"
#include "api/openai_format.h"
#include "api/responses_format.h"
#include "api/sglang_format.h"
#include "api/slora_format.h"
#include "api/tgi_format.h"

namespace slora {

std::unique_ptr<ResponseFormat> make_response_format(const PreparedRequest& request, AnswerLabel label) {
  const Tokenizer& tokenizer = request.text->tokenizer();
  switch (request.spec.endpoint) {
    case Endpoint::responses:
      return std::make_unique<ResponsesFormat>(request, label);
    case Endpoint::embeddings:
    case Endpoint::score:
    case Endpoint::rerank:
      return std::make_unique<EmbeddingFormat>(request, label);
    case Endpoint::sglang:
      return std::make_unique<SglangFormat>(label.random, tokenizer);
    case Endpoint::slora:
      return std::make_unique<SloraFormat>(tokenizer);
    case Endpoint::tgi:
      return std::make_unique<TgiFormat>(tokenizer);
    case Endpoint::completions:
    case Endpoint::chat:
      break;
  }
  return std::make_unique<OpenAiFormat>(request, label);
}

}  // namespace slora
