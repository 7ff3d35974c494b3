#include "text/tokenizer_class.h"

#include <nlohmann/json.hpp>

namespace slora {
namespace {

constexpr std::string_view kMeta = "\u2581";

bool has_byte_level(const Json& tokenizer_json) {
  for (const std::string_view key : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    const Json* step = find_member(tokenizer_json, key);
    if (step != nullptr && step->dump().find("\"ByteLevel\"") != std::string::npos) return true;
  }
  return false;
}

}  // namespace

void apply_tokenizer_class(TokenizerFiles& files) {
  const bool is_llama = files.tokenizer_class == "LlamaTokenizer" || files.tokenizer_class == "LlamaTokenizerFast";
  if (!is_llama || files.model_type != "llama" || has_byte_level(*files.tokenizer)) return;

  const bool adds_prefix_space = files.add_prefix_space.value_or(true);
  const std::string_view scheme = !adds_prefix_space ? "never" : files.legacy.value_or(false) ? "always" : "first";
  Json decoders = Json::array(
      {{{"type", "Replace"}, {"pattern", {{"String", kMeta}}}, {"content", " "}}, Json{{"type", "ByteFallback"}}, Json{{"type", "Fuse"}}});
  if (adds_prefix_space) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  Json& json = *files.tokenizer;
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", kMeta}, {"prepend_scheme", scheme}, {"split", false}};
  json["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
}

}  // namespace slora
