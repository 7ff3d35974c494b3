#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace slora {

// The kinds of adapters that are served, by their formula; as PEFT's `peft_type` names them, or as this program does.
enum class AdapterFamily : std::uint8_t {
  lora,              // W x + scale B (A x), and DoRA's gain
  adalora,           // W x + scale B (E * (A x))
  loha,              // W x + scale ((B1 A1) o (B2 A2)) x
  vblora,            // LoRA whose A and B are made of vectors of one bank
  ia3,               // l * (W x + b), or W (l * x) + b
  vera,              // W x + b * B (d * (A x)), where all modules share A and B
  hira,              // W x + (W o (B A)) x
  flora,             // scale (W o (B A)) x
  shira,             // (W + S) x, where S is sparse
  ln_tuning,         // trained copies of norms
  trainable_tokens,  // rows of listed tokens
};

// "ADALORA" -> adalora; none for others.
[[nodiscard]] std::optional<AdapterFamily> adapter_family_of(std::string_view peft_type);
// "LORA, ADALORA, ...", for messages.
[[nodiscard]] std::string adapter_family_types();
// "AdaLoRA"
[[nodiscard]] std::string_view name_of(AdapterFamily family);
// In one line, with the base's product as W x.
[[nodiscard]] std::string_view formula_of(AdapterFamily family);

}  // namespace slora
