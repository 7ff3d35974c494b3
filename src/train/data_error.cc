#include "train/data_error.h"

#include <nlohmann/json.hpp>

namespace slora {

tl::unexpected<Error> refuse_data(const std::string& place, std::string_view expected, const Json* found) {
  std::string text = "nothing";
  if (found != nullptr) text = found->is_structured() ? std::string(type_name(*found)) : shown(*found);
  return tl::unexpected(Error{"E_DATA", fmt::format("{}: expected {}, found {}", place, expected, text), place});
}

}  // namespace slora
