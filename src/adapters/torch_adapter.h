#pragma once
#include <optional>

#include "adapters/peft_form.h"
#include "base/result.h"
#include "formats/folder.h"
#include "formats/module_table.h"

namespace slora {

// Reads an adapter whose weights are pickled, as data (formats/torch_file.h): PEFT's adapter_model.bin, torchtune's tensors, and what
// LongLoRA saves next to LoRA, which becomes modules_to_save. LongLoRA also scales positions, by `rope_factor` or by the folder's
// config.json. E_PICKLE, E_ZIP, E_ROPE, and the errors of the config's reader and of torchtune's.
[[nodiscard]] Result<PeftForm> read_torch_adapter(const Folder& folder, std::optional<double> rope_factor, const ModuleTable* base);

}  // namespace slora
