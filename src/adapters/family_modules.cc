#include "adapters/family_modules.h"

#include <source_location>

#include "adapters/lora_modules.h"
#include "base/check.h"

namespace slora {

Result<AdapterModules> read_family_modules(const AdapterConfig& config, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  switch (config.family) {
    case AdapterFamily::lora:
      return read_lora_modules(config, tensors, context);
    case AdapterFamily::adalora:
    case AdapterFamily::loha:
    case AdapterFamily::vblora:
    case AdapterFamily::ia3:
    case AdapterFamily::vera:
    case AdapterFamily::hira:
    case AdapterFamily::flora:
      return error("E_PEFT_TYPE", "{} adapters are not served yet", name_of(config.family));
  }
  fail_check("expected a known family", std::source_location::current());
}

}  // namespace slora
