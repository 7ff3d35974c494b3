#pragma once
#include <span>
#include <vector>

#include "adapters/family_modules.h"

namespace slora {

// LoRA of experts that transformers 5 keeps in one tensor each for gate and up, and for down (PEFT's target_parameters): of E experts with
// rank r, A [E * r, in] has the ranks of one expert after those of another, and B [out, r * E] has the experts of one rank next to each
// other. PEFT wraps the module twice where both tensors are targets: "experts.base_layer" is then gate and up, and "experts" is down.
// Takes such modules out of `modules`, and gives one for each linear module of each expert, by the base's names; or, where no base is
// known, one for each tensor. E_UNSUPPORTED_OPTION, E_UNKNOWN_MODULE, E_PAIR, E_SHAPE, E_RANK, E_SCALE, E_PATTERN.
[[nodiscard]] Result<std::vector<AdapterModule>> take_stacked_experts(std::vector<AdapterModule>& modules, const AdapterConfig& config,
                                                                      std::span<const TensorInfo> tensors, const FamilyContext& context);

}  // namespace slora
