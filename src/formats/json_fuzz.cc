#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "formats/json.h"

// Any input is refused, or parsed to a tree that is equal after printing and parsing again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace slora;
  const Result<Json> json = parse_json({reinterpret_cast<const char*>(data), bytes});
  if (!json) return 0;
  const Result<Json> again = parse_json(json->dump());
  check(again && *again == *json, "expected equal JSON after printing and parsing again");
  return 0;
}
