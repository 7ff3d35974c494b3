#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/pattern.h"

namespace slora {

// How a list of a quantization_config names linear modules.
enum class ModuleNaming : std::uint8_t {
  targets,  // compressed-tensors: a module's path, "re:" and an expression that matches its beginning, or the class "Linear": every one
  skipped,  // transformers: a path up to one of its dots, its end, or an expression that matches up to a dot
};

// How closely a list names a module; of several lists the closest counts.
enum class NameMatch : std::uint8_t { none, as_linear, by_expression, by_path };

// Linear modules that a quantization_config lists. Constant after create(); any thread.
class ModuleNames {
 public:
  ModuleNames() = default;  // lists none
  // E_PATTERN for an expression that is not evaluated.
  static Result<ModuleNames> create(const std::vector<std::string>& names, ModuleNaming naming);

  // E_PATTERN if finding out takes too long.
  [[nodiscard]] Result<NameMatch> match(std::string_view module) const;

 private:
  ModuleNaming naming_ = ModuleNaming::targets;
  bool lists_all_ = false;
  std::vector<std::string> paths_;
  std::shared_ptr<const std::vector<ModulePattern>> patterns_;  // shared by copies of the config; null: none
};

}  // namespace slora
