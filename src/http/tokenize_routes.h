#pragma once
#include <cstdint>
#include <memory>
#include <string_view>

#include "api/request_preparer.h"
#include "http/answer_pool.h"
#include "http/small_body.h"
#include "http/types.h"
#include "text/tokenizer.h"

namespace slora {

// The endpoints that turn texts and conversations into tokens and back, as vLLM's do. The work has a thread of its own, so that counting
// tokens does not delay generation; everything else happens on the I/O thread.
class TokenizeRoutes {
 public:
  // What it borrows outlives it.
  TokenizeRoutes(const RequestPreparer& preparer, const Tokenizer& tokenizer, std::int32_t vocabulary_size, std::int32_t max_model_len,
                 AnswerPool::Post post);

  void tokenize(const std::shared_ptr<Exchange>& exchange);
  void detokenize(const std::shared_ptr<Exchange>& exchange);

  // JSON Schemas of the two bodies.
  [[nodiscard]] static Json tokenize_schema(std::int32_t vocabulary_size);
  [[nodiscard]] static Json detokenize_schema(std::int32_t vocabulary_size);

 private:
  // On the pool's thread.
  [[nodiscard]] HttpResponse tokenize_now(std::string_view body) const;
  [[nodiscard]] HttpResponse detokenize_now(std::string_view body) const;

  const RequestPreparer& preparer_;
  const Tokenizer& tokenizer_;
  const std::int32_t vocabulary_size_;
  const std::int32_t max_model_len_;
  AnswerPool pool_;  // last: its work uses the members above
};

}  // namespace slora
