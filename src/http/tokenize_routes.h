#pragma once
#include <cstdint>
#include <memory>
#include <string_view>

#include "api/request_preparer.h"
#include "http/adapter_waits.h"
#include "http/answer_pool.h"
#include "http/small_body.h"
#include "http/text_pool.h"
#include "http/types.h"

namespace slora {

// The endpoints that turn texts and conversations into tokens and back, as vLLM's do. The text threads do the work;
// everything else happens on the I/O thread.
class TokenizeRoutes {
 public:
  // What it borrows outlives it; `text_pool` must be stopped before this object ends.
  TokenizeRoutes(const RequestPreparer& preparer, std::int32_t vocabulary_size, std::int32_t max_model_len, PostToIo post,
                 TextPool& text_pool);

  void tokenize(const std::shared_ptr<Exchange>& exchange);
  void detokenize(const std::shared_ptr<Exchange>& exchange);

  // JSON Schemas of the two bodies.
  [[nodiscard]] static Json tokenize_schema(std::int32_t vocabulary_size);
  [[nodiscard]] static Json detokenize_schema(std::int32_t vocabulary_size);

 private:
  // The response to a body for the model that it names. On a text thread.
  using Work = HttpResponse (TokenizeRoutes::*)(std::string_view body, const Result<FoundModel>& model) const;

  void answer(const std::shared_ptr<Exchange>& exchange, Work work);
  [[nodiscard]] HttpResponse tokenize_now(std::string_view body, const Result<FoundModel>& model) const;
  [[nodiscard]] HttpResponse detokenize_now(std::string_view body, const Result<FoundModel>& model) const;

  const RequestPreparer& preparer_;
  const std::int32_t vocabulary_size_;
  const std::int32_t max_model_len_;
  const PostToIo post_;
  TextPool& text_pool_;
  AdapterWaits waits_;
};

}  // namespace slora
