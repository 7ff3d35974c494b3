#include "formats/adapter_family.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace slora {
namespace {

struct Entry {
  AdapterFamily family;
  std::string_view peft_type, name, formula;
};

constexpr Entry kEntries[] = {
    {AdapterFamily::lora, "LORA", "LoRA", "y = W x + scale B (A x)"},
    {AdapterFamily::adalora, "ADALORA", "AdaLoRA", "y = W x + scale B (E * (A x))"},
    {AdapterFamily::loha, "LOHA", "LoHa", "y = W x + scale ((B1 A1) o (B2 A2)) x"},
    {AdapterFamily::vblora, "VBLORA", "VB-LoRA", "y = W x + B (A x), A and B from one bank of vectors"},
    {AdapterFamily::ia3, "IA3", "IA3", "y = l * (W x), or W (l * x) in feed-forward modules"},
    {AdapterFamily::vera, "VERA", "VeRA", "y = W x + b * B (d * (A x)), one A and B for all modules"},
    {AdapterFamily::hira, "HIRA", "HiRA", "y = W x + (W o (B A)) x"},
    {AdapterFamily::flora, "FLORA", "FLoRA", "y = scale (W o (B A)) x"},
    {AdapterFamily::shira, "SHIRA", "SHiRA", "y = (W + S) x, S sparse"},
    {AdapterFamily::ln_tuning, "LN_TUNING", "LN tuning", "gains of norms replace the base's"},
    {AdapterFamily::trainable_tokens, "TRAINABLE_TOKENS", "trainable tokens", "rows of tokens replace the base's"},
};

const Entry& entry_of(AdapterFamily family) {
  const auto* at = std::ranges::find(kEntries, family, &Entry::family);
  check(at != std::ranges::end(kEntries), "expected every family in the table");
  return *at;
}

}  // namespace

std::optional<AdapterFamily> adapter_family_of(std::string_view peft_type) {
  const auto* at = std::ranges::find(kEntries, peft_type, &Entry::peft_type);
  return at != std::ranges::end(kEntries) ? std::optional(at->family) : std::nullopt;
}

std::string adapter_family_types() {
  std::vector<std::string_view> types;
  for (const Entry& entry : kEntries) types.push_back(entry.peft_type);
  return fmt::format("{}", fmt::join(types, ", "));
}

std::string_view name_of(AdapterFamily family) { return entry_of(family).name; }

std::string_view formula_of(AdapterFamily family) { return entry_of(family).formula; }

}  // namespace slora
