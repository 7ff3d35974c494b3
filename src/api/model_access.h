#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace slora {

// Which models a caller may name: the base's names and those of adapters. To a caller without access a model is the same as one that does
// not exist. Constant after construction; any thread.
class ModelAccess {
 public:
  // Every model.
  ModelAccess() = default;
  // Those with one of these names; a name that ends in '*' stands for all that begin with what is before it.
  explicit ModelAccess(std::vector<std::string> patterns);

  [[nodiscard]] bool allows(std::string_view model) const;
  [[nodiscard]] bool allows_all() const { return allows_all_; }

  // Whether `pattern` is a name or a prefix followed by '*'.
  [[nodiscard]] static bool is_pattern(std::string_view pattern);

 private:
  bool allows_all_ = true;
  std::vector<std::string> names_, prefixes_;  // names_ is sorted
};

}  // namespace slora
