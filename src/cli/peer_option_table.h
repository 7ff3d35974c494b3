#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace slora {

// How many words after a peer's option are its values.
enum class PeerValues : std::uint8_t { none, one, optional, many };

// What becomes of a peer's option.
enum class PeerRule : std::uint8_t {
  ignored,  // it can't change an answer here
  renamed,  // it is an option of ours under another name
  only,     // ignored with the values that say what happens anyway, refused with others
  refused,  // without it something else would be served than was asked for
};

// Options of other servers' command lines with one meaning, which `slora serve` takes so that start scripts carry over.
struct PeerOption {
  std::string_view names;  // separated by spaces, with dashes: underscores are read as such
  PeerValues values;
  PeerRule rule;
  std::string_view detail;  // renamed: our option; only: the values, separated by spaces
  std::string_view why;     // why it is ignored, or what to do instead
};

// Every option of vLLM, SGLang, TGI, LoRAX, KServe, S-LoRA and others that is known here and has another name, or no effect.
[[nodiscard]] std::span<const PeerOption> peer_options();

}  // namespace slora
