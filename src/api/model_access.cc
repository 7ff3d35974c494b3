#include "api/model_access.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace slora {

ModelAccess::ModelAccess(std::vector<std::string> patterns) : allows_all_(false) {
  for (std::string& pattern : patterns) {
    const bool is_prefix = pattern.ends_with('*');
    if (is_prefix) pattern.pop_back();
    (is_prefix ? prefixes_ : names_).push_back(std::move(pattern));
  }
  std::ranges::sort(names_);
}

bool ModelAccess::allows(std::string_view model) const {
  if (allows_all_ || std::ranges::binary_search(names_, model, std::less<>())) return true;
  return std::ranges::any_of(prefixes_, [model](const std::string& prefix) { return model.starts_with(prefix); });
}

bool ModelAccess::is_pattern(std::string_view pattern) { return !pattern.empty() && pattern.find('*') >= pattern.size() - 1; }

}  // namespace slora
