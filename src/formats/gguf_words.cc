#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "formats/gguf_tokenizer.h"

namespace slora {
namespace {

constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
                                     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
                                     R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::array kGgufWords = {
    GgufWords{" llama-bpe llama3 llama-v3 falcon3 pixtral midm-2.0 ", {kLlama3}, true, true, false},
    GgufWords{" dbrx smaug-bpe chatglm-bpe glm4 ", {kLlama3}},
    GgufWords{" qwen2 deepseek-r1-qwen megrez ", {kQwen2}, false, false, true},
    GgufWords{" stablelm2 ", {kQwen2}},
    GgufWords{" smollm starcoder refact command-r codeshell exaone minerva-7b ", {kDigit, kGpt2}},
    GgufWords{" gpt-2 gpt2 phi-2 olmo mpt jais gigachat trillion ", {kGpt2}},
    GgufWords{" tekken ", {kTekken}, true, true, false},
    GgufWords{" gpt-4o llama4 ", {kGpt4o}},
    GgufWords{" seed-coder ", {kSeedCoder}},
    GgufWords{" default ", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
};

}  // namespace

const GgufWords* find_gguf_words(std::string_view name) {
  if (name.empty() || name.find(' ') != std::string_view::npos) return nullptr;
  const std::string wanted = fmt::format(" {} ", name);
  const auto* const found =
      std::ranges::find_if(kGgufWords, [&](const GgufWords& words) { return words.names.find(wanted) != std::string_view::npos; });
  return found != kGgufWords.end() ? found : nullptr;
}

}  // namespace slora
