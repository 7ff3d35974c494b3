#pragma once
#include <string>
#include <string_view>

namespace slora {

// Writers of JSON text. Answers have a fixed form and one message is written per token, so that no tree is built for them.

// `text` in quotes, escaped. Bytes that aren't UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
// A finite number; infinities become the largest finite ones, since JSON has none.
void append_json_number(std::string& out, double value);
// A list; `append` writes each entry.
template <class List, class Append>
void append_json_list(std::string& out, const List& list, Append append) {
  out += '[';
  bool is_first = true;
  for (const auto& entry : list) {
    if (!is_first) out += ',';
    is_first = false;
    append(entry);
  }
  out += ']';
}

}  // namespace slora
