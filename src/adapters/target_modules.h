#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/adapter_config.h"
#include "formats/pattern.h"

namespace slora {

// Whether the last components of a path are a name: "self_attn.q_proj" of "model.layers.0.self_attn.q_proj".
[[nodiscard]] bool ends_with_name(std::string_view path, std::string_view name);

// Which modules the config of an adapter selects, by PEFT's rules (tuners/tuners_utils.py, check_target_module_exists): those of
// target_modules without those of exclude_modules; of names, not of an expression, those in layers_to_transform. Constant.
class TargetModules {
 public:
  explicit TargetModules(const AdapterConfig& config);

  // Nothing where this program cannot tell: without target_modules, and for expressions that it does not match as Python does.
  [[nodiscard]] std::optional<bool> selects(std::string_view path) const;
  // Names of target_modules, if it is a list, that are no name of any of these paths.
  [[nodiscard]] std::vector<std::string> names_missing_in(std::span<const std::string_view> paths) const;

 private:
  enum class Kind : std::uint8_t { none, names, all_linear, expression, unknown };
  struct Selection {
    Kind kind = Kind::none;
    std::set<std::string, std::less<>> names;
    std::optional<ModulePattern> expression;

    explicit Selection(std::span<const std::string> texts);
    [[nodiscard]] std::optional<bool> selects(std::string_view path) const;
  };

  [[nodiscard]] bool is_in_layers(std::string_view path) const;

  const Selection targets_, excluded_;
  const std::vector<std::int64_t> layers_;
};

}  // namespace slora
