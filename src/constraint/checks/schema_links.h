#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace slora {

// Which schemas within a schema may be others instead: by references, and as alternatives. Schemas are named by their places, which are
// JSON pointers. One thread.
class SchemaLinks {
 public:
  void add_schema(const std::string& place) { targets_.try_emplace(place); }
  void add_alternative(const std::string& place, const std::string& target) { targets_[place].push_back(target); }
  void add_reference(const std::string& place, const std::string& target) {
    references_.emplace_back(place, target);
    add_alternative(place, target);
  }

  // Whether all references lead to schemas, and none to itself by references and alternatives alone.
  [[nodiscard]] Status check() const;

 private:
  [[nodiscard]] const std::string* place_in_cycle() const;

  std::map<std::string, std::vector<std::string>> targets_;      // from each schema to those that it may be instead
  std::vector<std::pair<std::string, std::string>> references_;  // from where, to where
};

}  // namespace slora
