#include "text/chat_template.h"

#include <nlohmann/json.hpp>

#include "text/jinja_content.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"
#include "text/utf8.h"

namespace slora {

ChatTemplate::ChatTemplate(std::shared_ptr<const jinja::Template> root)
    : root_(std::move(root)), loops_over_content_(jinja::loops_over_content(*root_)) {}

Result<ChatTemplate> ChatTemplate::parse(std::string source) {
  Result<jinja::Template> root = jinja::parse(to_valid_utf8(source));
  if (!root) return forward_error(root);
  return ChatTemplate(std::make_shared<const jinja::Template>(std::move(*root)));
}

Result<std::string> ChatTemplate::render(const Json& context) const {
  if (!context.is_object())
    return error("E_CHAT_TEMPLATE", "the context of a chat template must be an object, found {}", type_name(context));
  jinja::Interpreter interpreter{jinja::Limits{}};
  return interpreter.run(*root_, jinja::from_json(context));
}

}  // namespace slora
