#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "server/answer.h"

namespace slora {

// What one event of a stream tells: all of a choice from here on.
struct NewPart {
  std::size_t choice_index = 0;
  bool is_first = false;  // of this choice
  std::size_t text_begin = 0;
  std::size_t token_begin = 0;
};

// How an endpoint writes its answers. Const after construction; I/O thread.
class ResponseFormat {
 public:
  virtual ~ResponseFormat() = default;

  // The whole answer, as JSON.
  [[nodiscard]] virtual std::string body(const Answer& answer) const = 0;
  // Server-sent events: for each token of each choice, and what follows the last of them.
  [[nodiscard]] virtual std::string part_event(const Answer& answer, const NewPart& part) const = 0;
  [[nodiscard]] virtual std::string end_of_stream(const Answer& answer) const = 0;
};

// The form of the request's endpoint. `random` makes the answer's id; `tokenizer` outlives it.
[[nodiscard]] std::unique_ptr<ResponseFormat> make_response_format(const PreparedRequest& request, std::uint64_t random,
                                                                   const Tokenizer& tokenizer);

[[nodiscard]] std::string sse_event(std::string_view json);

}  // namespace slora
