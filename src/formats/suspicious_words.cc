#include "formats/suspicious_words.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

namespace slora {
namespace {

// In a key's name, anywhere.
constexpr std::array<std::string_view, 43> kWords = {
    "dora",   "quant",     "scal",     "alpha",      "rank",      "mask",      "rotat",   "rotar",  "norm",        "rope",       "block",
    "bias",   "magnitude", "svd",      "prefix",     "prompt",    "gate",      "gating",  "rout",   "expert",      "moe",        "mixture",
    "merge",  "replicat",  "parallel", "sparse",     "prun",      "alibi",     "softcap", "clip",   "temperature", "multiplier", "factor",
    "window", "chunk",     "residual", "activation", "nonlinear", "interleav", "sink",    "conv1d", "recurren",    "embedding"};
// At the begin of a key's name: switches of variants.
constexpr std::array<std::string_view, 3> kBeginnings = {"use_", "enable_", "with_"};
// Methods, as values or as keys of a nested object.
constexpr std::array<std::string_view, 16> kMethods = {"dora", "qdora",  "adalora", "vera",  "loha",  "lokr",  "boft", "oft",
                                                       "ia3",  "qalora", "pissa",   "olora", "corda", "loftq", "kasa", "moelora"};

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

bool names_method(std::string_view text) { return std::ranges::find(kMethods, lower_case(text)) != kMethods.end(); }

}  // namespace

std::string suspicious_word(std::string_view key, const Json& value) {
  const std::string name = lower_case(key);
  for (const std::string_view word : kWords) {
    if (name.find(word) != std::string::npos) return std::string(word);
  }
  for (const std::string_view beginning : kBeginnings) {
    if (name.starts_with(beginning) && !value.is_string()) return std::string(beginning);
  }
  if (value.is_string() && names_method(value.get_ref<const std::string&>())) return value.get<std::string>();
  if (!value.is_object()) return {};
  for (const auto& [member, ignored] : value.get_ref<const Json::object_t&>()) {
    if (names_method(member)) return member;
  }
  return {};
}

}  // namespace slora
