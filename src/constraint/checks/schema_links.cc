#include "constraint/checks/schema_links.h"

#include <cstddef>
#include <string_view>

#include "formats/json.h"

namespace slora {

Status SchemaLinks::check() const {
  for (const auto& [place, target] : references_) {
    if (!targets_.contains(target)) {
      return error("unsupported_constraint",
                   "The schema at {}/$ref: expected \"#\" or the place of a schema within this one, such as \"#/$defs/name\", found {}",
                   place, quote(target));
    }
  }
  if (const std::string* place = place_in_cycle())
    return error("bad_constraint", "The schema at {} refers to itself, with nothing between", *place);
  return {};
}

// Null: there is none. Takes away the schemas that no other leads to until none is left. Requires: all targets are schemas.
const std::string* SchemaLinks::place_in_cycle() const {
  std::map<std::string_view, std::size_t> waiting;  // how many lead there
  for (const auto& [place, targets] : targets_) {
    waiting.try_emplace(place, 0);
    for (const std::string& target : targets) ++waiting[target];
  }
  std::vector<std::string_view> free;
  for (const auto& [place, count] : waiting) {
    if (count == 0) free.push_back(place);
  }
  while (!free.empty()) {
    const std::string_view place = free.back();
    free.pop_back();
    waiting.erase(place);
    for (const std::string& target : targets_.find(std::string(place))->second) {
      if (--waiting[target] == 0) free.push_back(target);
    }
  }
  return waiting.empty() ? nullptr : &targets_.find(std::string(waiting.begin()->first))->first;
}

}  // namespace slora
