#pragma once
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "formats/adapter_config.h"
#include "formats/folder.h"
#include "formats/module_table.h"

namespace slora {

// What makes of a base one for longer texts (LongLoRA).
struct ContextExtension {
  double factor = 1;            // of linear RoPE, instead of the base's
  std::int32_t tokens_max = 0;  // of prompt and output
};

// Where an adapter's files say that it is for longer texts than its base: "rope_scaling" of its config, a config.json in its folder, or a
// length in its config. A config.json like the base's says nothing, as trainers copy it. `positions_max`: that are served, 0: none.
// E_ROPE, and the errors of reading config.json.
[[nodiscard]] Result<std::optional<ContextExtension>> find_context_extension(const Folder& folder, const AdapterConfig& config,
                                                                             const ModuleTable& base, std::int64_t positions_max);

}  // namespace slora
