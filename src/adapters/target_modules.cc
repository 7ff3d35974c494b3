#include "adapters/target_modules.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/pattern.h"

namespace slora {
namespace {

bool ends_in(std::string_view path, std::string_view name) {
  return path == name || (path.size() > name.size() && path.ends_with(name) && path[path.size() - name.size() - 1] == '.');
}

// Whether target_modules, or exclude_modules, selects a module: a list of names, or one expression.
bool selects(std::span<const std::string> names, std::string_view path) {
  constexpr std::size_t kNamesMax = 4096;
  if (names.size() > kNamesMax) return false;
  if (std::ranges::any_of(names, [&](const std::string& name) { return ends_in(path, name); })) return true;
  if (names.size() != 1) return false;
  if (names[0] == "all-linear") return path != "lm_head";
  const Result<ModulePattern> pattern = ModulePattern::compile(names[0]);
  if (!pattern) return false;
  const Result<bool> matches = pattern->matches(path);
  return matches && *matches;
}

}  // namespace

bool is_targeted(const AdapterConfig& config, const ModuleEntry& entry) {
  const std::vector<std::int64_t>& layers = config.layers_to_transform;
  const bool in_layers = layers.empty() || std::ranges::find(layers, entry.site.layer) != layers.end();
  return in_layers && selects(config.target_modules, entry.path) && !selects(config.exclude_modules, entry.path);
}

}  // namespace slora
