#pragma once
#include "adapters/peft_form.h"
#include "base/result.h"
#include "formats/folder.h"

namespace slora {

// Reads an adapter that mlx-lm trained: adapters.safetensors with the matrices transposed, and an adapter_config.json of its own. LoRA and
// DoRA of linear modules. E_FOREIGN, E_UNSUPPORTED_OPTION, E_RANK, E_SCALE, E_UNKNOWN_TENSOR, and the errors of the two files' readers.
[[nodiscard]] Result<PeftForm> read_mlx_adapter(const Folder& folder);

}  // namespace slora
