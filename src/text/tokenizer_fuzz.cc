#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/check.h"
#include "formats/json.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

// The input is a tokenizer.json, a zero byte, and a text. The file is refused with a message, or the text is encoded and decoded,
// with streamed decoding equal to decoding the whole.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slora;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = input.find('\0');
  const std::string_view text = end == std::string_view::npos ? std::string_view() : input.substr(end + 1);
  const Result<Json> json = parse_json(input.substr(0, end));
  if (!json) return 0;
  const Result<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::from_json(*json);
  if (!tokenizer) return 0;

  const Result<std::vector<TokenId>> ids = (*tokenizer)->encode(text, SpecialTokens::add);
  if (!ids) return 0;
  Detokenizer detokenizer(**tokenizer, SpecialText::keep);
  std::string streamed;
  for (const TokenId id : *ids) {
    const std::string piece = detokenizer.push(id);
    check(is_valid_utf8(piece), "expected pieces of whole characters");
    streamed += piece;
    static_cast<void>((*tokenizer)->token_bytes(id));
  }
  streamed += detokenizer.finish();
  check(streamed == (*tokenizer)->decode(*ids, SpecialText::keep), "expected the streamed text to equal the text of the whole");
  return 0;
}
