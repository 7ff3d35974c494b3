#include "server/response_format.h"

#include "server/openai_format.h"
#include "server/sglang_format.h"
#include "server/slora_format.h"

namespace slora {

std::unique_ptr<ResponseFormat> make_response_format(const PreparedRequest& request, AnswerLabel label, const Tokenizer& tokenizer) {
  switch (request.spec.endpoint) {
    case Endpoint::sglang:
      return std::make_unique<SglangFormat>(label.random, tokenizer);
    case Endpoint::slora:
      return std::make_unique<SloraFormat>(tokenizer);
    case Endpoint::completions:
    case Endpoint::chat:
      break;
  }
  return std::make_unique<OpenAiFormat>(request, label, tokenizer);
}

}  // namespace slora
