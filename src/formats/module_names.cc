#include "formats/module_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace slora {
namespace {

constexpr std::string_view kExpression = "re:";
constexpr std::string_view kEveryLinear = "Linear";

bool is_path_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

bool is_path(std::string_view name) { return std::ranges::all_of(name, is_path_character); }

// The path itself, a path that it is the beginning of, or an end of the path, as transformers' should_convert_module() has it.
bool is_skipped(std::string_view module, std::string_view name) {
  if (module.ends_with(name)) return true;
  return module.starts_with(name) && (name.ends_with('.') || module[name.size()] == '.');
}

}  // namespace

Result<ModuleNames> ModuleNames::create(const std::vector<std::string>& names, ModuleNaming naming) {
  ModuleNames out;
  out.naming_ = naming;
  std::vector<ModulePattern> patterns;
  for (const std::string& name : names) {
    if (name.empty()) return error("E_PATTERN", "expected the name of a module, found nothing");
    // "^": ModulePattern would also match what comes after a dot.
    std::string expression;
    if (naming == ModuleNaming::targets) {
      if (name == kEveryLinear) out.lists_all_ = true;
      if (name.starts_with(kExpression)) expression = fmt::format("^(?:{}).*", name.substr(kExpression.size()));
    } else if (!is_path(name)) {
      expression = fmt::format("^(?:{})(?:\\..*)?", name);
    }
    if (expression.empty()) {
      out.paths_.push_back(name);
      continue;
    }
    Result<ModulePattern> pattern = ModulePattern::compile(expression);
    if (!pattern) return forward_error(pattern);
    patterns.push_back(std::move(*pattern));
  }
  if (!patterns.empty()) out.patterns_ = std::make_shared<const std::vector<ModulePattern>>(std::move(patterns));
  return out;
}

Result<NameMatch> ModuleNames::match(std::string_view module) const {
  const auto is_named = [&](const std::string& name) {
    return naming_ == ModuleNaming::targets ? module == name : is_skipped(module, name);
  };
  if (std::ranges::any_of(paths_, is_named)) return NameMatch::by_path;
  if (patterns_ != nullptr) {
    for (const ModulePattern& pattern : *patterns_) {
      const Result<bool> matches = pattern.matches(module);
      if (!matches) return tl::unexpected(matches.error());
      if (*matches) return NameMatch::by_expression;
    }
  }
  return lists_all_ ? NameMatch::as_linear : NameMatch::none;
}

}  // namespace slora
