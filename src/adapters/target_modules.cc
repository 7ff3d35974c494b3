#include "adapters/target_modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace slora {
namespace {

// Calls take(name) for "a.b.c", "b.c" and "c", as long as it does not return true; whether it did.
template <class Take>
bool any_ending(std::string_view path, Take take) {
  for (;;) {
    if (take(path)) return true;
    const std::size_t dot = path.find('.');
    if (dot == std::string_view::npos) return false;
    path.remove_prefix(dot + 1);
  }
}

// The first component that is a number, from the third on; nothing when there is none.
std::optional<std::int64_t> layer_of(std::string_view path) {
  for (int i = 0;; ++i) {
    const std::size_t dot = path.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    std::int64_t layer = 0;
    const auto [end, failed] = std::from_chars(path.data(), path.data() + dot, layer);
    if (i >= 2 && failed == std::errc() && end == path.data() + dot) return layer;
    path.remove_prefix(dot + 1);
  }
}

}  // namespace

bool ends_with_name(std::string_view path, std::string_view name) {
  return any_ending(path, [&](std::string_view ending) { return ending == name; });
}

TargetModules::Selection::Selection(std::span<const std::string> texts) {
  if (texts.empty()) return;
  kind = Kind::names;
  names.insert(texts.begin(), texts.end());
  if (texts.size() > 1) return;
  const std::string& text = texts.front();
  if (text == "all-linear") {
    kind = Kind::all_linear;
  } else if (text.find_first_of("\\*+?|()[]^$") != std::string::npos) {
    Result<ModulePattern> pattern = ModulePattern::compile(fmt::format("\\A(?:{})", text));  // PEFT wants all of the path to match
    kind = pattern ? Kind::expression : Kind::unknown;
    if (pattern) expression = std::move(*pattern);
  }
}

std::optional<bool> TargetModules::Selection::selects(std::string_view path) const {
  switch (kind) {
    case Kind::none:
      return false;
    case Kind::names:
      return any_ending(path, [&](std::string_view name) { return names.contains(name); });
    case Kind::all_linear:
      return path != "lm_head";
    case Kind::expression: {
      const Result<bool> matches = expression->matches(path);
      return matches ? std::optional(*matches) : std::nullopt;
    }
    case Kind::unknown:
      break;
  }
  return std::nullopt;
}

TargetModules::TargetModules(const AdapterConfig& config)
    : targets_(config.target_modules), excluded_(config.exclude_modules), layers_(config.layers_to_transform) {}

std::optional<bool> TargetModules::selects(std::string_view path) const {
  if (targets_.kind == Kind::none) return std::nullopt;
  const std::optional<bool> target = targets_.selects(path), excluded = excluded_.selects(path);
  if (!target || !excluded) return std::nullopt;
  const bool has_layers = targets_.kind == Kind::names && !targets_.names.contains(path) && !layers_.empty();
  return *target && !*excluded && (!has_layers || is_in_layers(path));
}

bool TargetModules::is_in_layers(std::string_view path) const {
  const std::optional<std::int64_t> layer = layer_of(path);
  return layer && std::ranges::find(layers_, *layer) != layers_.end();
}

std::vector<std::string> TargetModules::names_missing_in(std::span<const std::string_view> paths) const {
  if (targets_.kind != Kind::names) return {};
  std::set<std::string_view> endings;
  for (const std::string_view path : paths) {
    any_ending(path, [&](std::string_view name) {
      endings.insert(name);
      return false;
    });
  }
  std::vector<std::string> missing;
  std::ranges::copy_if(targets_.names, std::back_inserter(missing), [&](const std::string& name) { return !endings.contains(name); });
  return missing;
}

}  // namespace slora
