#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "http/head.h"

// The input is what a client sends first. A head that is accepted has no byte on which two parsers could disagree.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slora;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::optional<std::size_t> end = find_head_end(bytes);
  if (!end) return 0;
  const std::string_view head = bytes.substr(0, *end);
  if (!check_request_head(head, HttpLimits{})) return 0;
  for (std::size_t i = 0; i < head.size(); ++i) {
    check(head[i] != '\0', "expected no zero bytes");
    check(head[i] != '\n' || head[i - 1] == '\r', "expected no bare line feeds");
    check(head[i] != '\r' || head[i + 1] == '\n', "expected no bare carriage returns");
    check(head[i] != '\n' || i + 1 == head.size() || (head[i + 1] != ' ' && head[i + 1] != '\t'), "expected no folded lines");
  }
  return 0;
}
