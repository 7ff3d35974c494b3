// What a tokenizer makes of many inputs, for comparison with other implementations: tools/compare_tokenizers.py runs it.
//   tokenize_lines TOKENIZER_JSON < INPUTS > RESULTS
// Each line in is a JSON string, a text to encode and to decode again, or a list of ids to decode. Each line out is the object
//   {"plain": ids without what the post-processor adds (texts only), "ids": ids decoded, "kept": text with special tokens,
//    "skipped": text without them, "streamed": whether pieces pushed one by one join to the same two texts}
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/json.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace slora {
namespace {

constexpr JsonLimits kTokenizerLimits{.bytes_max = std::size_t{64} << 20};

std::string stream(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, SpecialText special) {
  Detokenizer detokenizer(tokenizer, special);
  std::string text;
  for (const TokenId id : ids) text += detokenizer.push(id);
  return text + detokenizer.finish();
}

Json result_of(const Tokenizer& tokenizer, const Json& input) {
  Json result = Json::object();
  std::vector<TokenId> ids;
  if (input.is_string()) {
    const auto text = input.get<std::string>();
    const Result<std::vector<TokenId>> plain = tokenizer.encode(text, SpecialTokens::omit);
    if (!plain) return Json{{"refused", plain.error().message}};
    result["plain"] = *plain;
    ids = tokenizer.encode(text, SpecialTokens::add).value_or(std::vector<TokenId>());
  } else {
    ids = input.get<std::vector<TokenId>>();
  }
  result["ids"] = ids;
  result["kept"] = tokenizer.decode(ids, SpecialText::keep);
  result["skipped"] = tokenizer.decode(ids, SpecialText::skip);
  result["streamed"] =
      stream(tokenizer, ids, SpecialText::keep) == result["kept"] && stream(tokenizer, ids, SpecialText::skip) == result["skipped"];
  return result;
}

int run(const std::string& path) {
  const auto refuse = [&path](const Error& why) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(), why.message.c_str());
    return 1;
  };
  const Result<Json> json = read_json_file(path, kTokenizerLimits);
  if (!json) return refuse(json.error());
  const Result<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::from_json(*json);
  if (!tokenizer) return refuse(tokenizer.error());
  for (std::string line; std::getline(std::cin, line);) {
    const Result<Json> input = parse_json(line);
    if (!input) return refuse(input.error());
    std::cout << result_of(**tokenizer, *input).dump() << '\n';
  }
  return 0;
}

}  // namespace
}  // namespace slora

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: tokenize_lines TOKENIZER_JSON < INPUTS > RESULTS\n");
    return 2;
  }
  return slora::run(argv[1]);
}
