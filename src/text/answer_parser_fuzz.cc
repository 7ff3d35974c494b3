#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/answer_families.h"
#include "text/answer_parser.h"

// The first byte chooses the families, the second where the rest is cut: the events joined must not depend on it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slora;
  if (size < 2) return 0;
  const std::span<const AnswerFamily> calls = call_families(), reasoning = reasoning_families();
  const AnswerFormat format = make_answer_format(&calls[data[0] % calls.size()], &reasoning[data[0] / 16 % reasoning.size()]);
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto parsed = [&](std::size_t step) {
    AnswerParser parser(format, {});
    std::vector<AnswerEvent> all;
    const auto take = [&all](std::vector<AnswerEvent> events) {
      for (AnswerEvent& event : events) {
        const bool continues = !all.empty() && all.back().kind == event.kind && event.kind != AnswerEvent::Kind::call;
        if (continues) {
          all.back().text += event.text;
        } else {
          all.push_back(std::move(event));
        }
      }
    };
    for (std::size_t at = 0; at < text.size(); at += step) take(parser.push(text.substr(at, step)));
    take(parser.finish(AnswerEnd::cut));
    return all;
  };
  check(parsed(text.size() + 1) == parsed(data[1] % 16 + 1U), "expected the same events however the text is cut");
  return 0;
}
