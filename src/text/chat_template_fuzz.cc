#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/check.h"
#include "text/chat_template.h"
#include "text/utf8.h"

// The input is a template: it is refused with a message, or rendered to valid UTF-8 within the budgets.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slora;
  static const Json context = Json::parse(R"({
    "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                 {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5, true]}}}]}],
    "tools": [{"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "array"}}}}],
    "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true, "n": 7, "f": 2.5, "l": [3, 1, 2], "s": "h\u00e9llo"})");
  const Result<ChatTemplate> chat = ChatTemplate::parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!chat) return 0;
  const Result<std::string> text = chat->render(context);
  if (text) check(is_valid_utf8(*text), "expected the rendered text to be valid UTF-8");
  return 0;
}
