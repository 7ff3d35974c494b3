#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace slora {

// Whether a base model's path is that of a GGUF file; else it is a folder's.
[[nodiscard]] bool is_gguf_path(std::string_view path);

// A name in GGUF files, and what stands for it elsewhere.
struct GgufName {
  std::string_view gguf, other;
};

// What the names, entries and tensors of a GGUF file stand for, by its "general.architecture".
struct GgufArchitecture {
  std::string_view name;
  std::string_view model_type;            // of config.json
  std::span<const GgufName> in_layers;    // modules of a layer: "attn_q", "self_attn.q_proj"
  bool has_pairs_together = false;        // outputs of q and k have Meta's order: pairs of RoPE next to each other
  bool has_whole_gains = false;           // gains are stored with the 1 that the family adds to them
  bool rotates_in_part = false;           // "rope.dimension_count" may be less than a head's length
  std::string_view window_type{};         // the model_type where "attention.sliding_window" is not 0; empty: none has one
  std::span<const GgufName> numbers{};    // further entries, and the key of config.json that each is
  std::int32_t layers_of_wide_query = 0;  // of the model whose scores are scaled by hidden size / heads; 0: none. No entry says so
};

// Nullptr for one that is not served.
[[nodiscard]] const GgufArchitecture* find_gguf_architecture(std::string_view name);
// "llama, qwen2, ...", for messages.
[[nodiscard]] std::string gguf_architecture_names();

// "blk.7.attn_q" -> "model.layers.7.self_attn.q_proj", by which PEFT and config.json's models name the module; nothing for another name.
[[nodiscard]] std::optional<std::string> path_of_gguf(const GgufArchitecture& architecture, std::string_view name);

}  // namespace slora
