// What chat templates make of many inputs, for comparison with jinja2: tools/compare_templates.py and tools/golden_chat.py run it.
//   render_template < INPUTS > RESULTS
// Each line in is an object: {"template": source, "variables": object}, rendered as it is, or {"template": source,
// "conversation": {"messages": list, "tools": list, "documents": list, "kwargs": object, "add_generation_prompt": bool,
// "continue_final_message": bool}, "tokens": object}, rendered as the server does. Each line out is {"text": text} or {"error":
// message, "code": code}; and {"takes_parts": bool}, whether contents are lists of parts to the template.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "formats/json.h"
#include "text/chat_renderer.h"
#include "text/chat_template.h"

namespace slora {
namespace {

constexpr JsonLimits kLineLimits{.bytes_max = std::size_t{64} << 20};

Result<std::string> render_variables(const std::string& source, const Json& variables) {
  const Result<ChatTemplate> parsed = ChatTemplate::parse(source);
  if (!parsed) return tl::unexpected(parsed.error());
  return parsed->render(variables);
}

Result<std::string> render_conversation(const std::string& source, const Json& line) {
  TokenizerFiles files;
  files.chat_template = source;
  const Json& tokens = line.at("tokens");
  if (const Json* token = find_member(tokens, "bos_token")) files.special_tokens["bos_token"] = token->get<std::string>();
  if (const Json* token = find_member(tokens, "eos_token")) files.special_tokens["eos_token"] = token->get<std::string>();
  const Result<ChatRenderer> renderer = ChatRenderer::create(files);
  if (!renderer) return tl::unexpected(renderer.error());
  const Json& asked = line.at("conversation");
  return renderer->render({.messages = asked.at("messages"),
                           .tools = find_member(asked, "tools"),
                           .documents = find_member(asked, "documents"),
                           .kwargs = find_member(asked, "kwargs"),
                           .add_generation_prompt = asked.value("add_generation_prompt", false),
                           .continue_final_message = asked.value("continue_final_message", false)});
}

int run() {
  for (std::string text; std::getline(std::cin, text);) {
    const Result<Json> line = parse_json(text, kLineLimits);
    if (!line) {
      std::fprintf(stderr, "%s\n", line.error().message.c_str());
      return 1;
    }
    const auto source = line->at("template").get<std::string>();
    const Json* variables = find_member(*line, "variables");
    const Result<std::string> result = variables != nullptr ? render_variables(source, *variables) : render_conversation(source, *line);
    Json answer = result ? Json{{"text", *result}} : Json{{"error", result.error().message}, {"code", result.error().code}};
    const Result<ChatTemplate> parsed = ChatTemplate::parse(source);
    answer["takes_parts"] = parsed && parsed->loops_over_content();
    std::cout << answer.dump() << '\n';
  }
  return 0;
}

}  // namespace
}  // namespace slora

int main() { return slora::run(); }
