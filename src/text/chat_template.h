#pragma once
#include <memory>
#include <string>

#include "base/result.h"
#include "formats/json.h"
#include "text/marked_text.h"

namespace slora {

namespace jinja {
struct Template;
}

// A model's chat template: messages to the prompt's text. Supports the Jinja that published templates use, configured as transformers
// does (trim_blocks, lstrip_blocks, loop controls, tojson, raise_exception, strftime_now), with budgets on steps, output
// and depth. Immutable once parsed; any number of threads.
class ChatTemplate {
 public:
  // An unsupported construct is an error that names it and its line.
  [[nodiscard]] static Result<ChatTemplate> parse(std::string source);

  // `context`: messages, bos_token, eos_token, add_generation_prompt, tools and whatever else the template may name. A call
  // of raise_exception in the template is returned as an error with code invalid_request_error.
  [[nodiscard]] Result<std::string> render(const Json& context) const;
  // The same with what the template marks as the assistant's.
  [[nodiscard]] Result<MarkedText> render_marked(const Json& context) const;

  // Whether it expects a message's content as a list of parts.
  [[nodiscard]] bool loops_over_content() const { return loops_over_content_; }

 private:
  explicit ChatTemplate(std::shared_ptr<const jinja::Template> root);

  std::shared_ptr<const jinja::Template> root_;  // shared so that copies of this value stay cheap
  bool loops_over_content_ = false;
  bool has_marks_ = false;
};

}  // namespace slora
