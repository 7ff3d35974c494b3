#include "adapters/family_modules.h"

#include <source_location>

#include "adapters/adalora_modules.h"
#include "adapters/hira_modules.h"
#include "adapters/ia3_modules.h"
#include "adapters/loha_modules.h"
#include "adapters/lora_modules.h"
#include "adapters/replaced_rows.h"
#include "adapters/saved_modules.h"
#include "adapters/shira_modules.h"
#include "adapters/vblora_modules.h"
#include "adapters/vera_modules.h"
#include "base/check.h"

namespace slora {
namespace {

Result<AdapterModules> read_by_family(const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  switch (config.family) {
    case AdapterFamily::lora:
      return read_lora_modules(config, tensors, context);
    case AdapterFamily::adalora:
      return read_adalora_modules(config, tensors, context);
    case AdapterFamily::loha:
      return read_loha_modules(config, tensors, context);
    case AdapterFamily::vblora:
      return read_vblora_modules(config, tensors, context);
    case AdapterFamily::ia3:
      return read_ia3_modules(config, tensors, context);
    case AdapterFamily::vera:
      return read_vera_modules(config, tensors, context);
    case AdapterFamily::hira:
      return read_hira_modules(config, tensors, context);
    case AdapterFamily::flora:
      return read_flora_modules(config, tensors, context);
    case AdapterFamily::shira:
      return read_shira_modules(config, tensors, context);
    case AdapterFamily::ln_tuning:
      return read_ln_tuning_modules(config, tensors);
    case AdapterFamily::trainable_tokens:
      return read_trainable_tokens_modules(config, tensors);
  }
  fail_check("expected a known family", std::source_location::current());
}

}  // namespace

Result<AdapterModules> read_family_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  Result<AdapterModules> found = read_by_family(config, tensors, context);
  if (!found) return found;
  if (Status rows = find_trained_rows(*found, config, tensors, context); !rows) return forward_error(rows);
  return found;
}

}  // namespace slora
