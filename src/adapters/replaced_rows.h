#pragma once
#include <span>

#include "adapters/adapter_modules.h"
#include "adapters/family_modules.h"
#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/safetensors.h"

namespace slora {

// Rows of the embedding's or the head's weight that an adapter replaces, in whichever way the file tells: the whole weight
// (modules_to_save, or a copy that PEFT saves next to LoRA of the embedding), of which the rows that equal the base's are left out; or the
// rows of listed tokens, which on a base that ties the two change both. Lists which rows they are, where they are not all, and drops parts
// and modules that change nothing. Rows may be those of tokens after the base's vocabulary: the embedding lists them with the others, the
// head has them apart. E_INDEX, E_VOCAB, E_SHAPE, E_PAIR, E_READ, E_NONFINITE, E_UNSUPPORTED_OPTION.
[[nodiscard]] Status find_trained_rows(AdapterModules& found, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                                       const FamilyContext& context);

}  // namespace slora
