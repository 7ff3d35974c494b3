#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace slora {

// Whether a base model's path is that of a GGUF file; else it is a folder's.
[[nodiscard]] bool is_gguf_path(std::string_view path);

// What the names and tensors of a GGUF file stand for, by its "general.architecture".
struct GgufArchitecture {
  std::string_view name;
  std::string_view model_type;  // of config.json
  bool has_pairs_together;      // outputs of q and k have Meta's order: pairs of RoPE next to each other
};

// Nullptr for one that is not served.
[[nodiscard]] const GgufArchitecture* find_gguf_architecture(std::string_view name);
// "llama, qwen2, ...", for messages.
[[nodiscard]] std::string gguf_architecture_names();

// "blk.7.attn_q" -> "model.layers.7.self_attn.q_proj", by which PEFT and config.json's models name the module; nothing for another name.
[[nodiscard]] std::optional<std::string> path_of_gguf(std::string_view name);

}  // namespace slora
