#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "formats/json.h"

// Any bytes are refused or give a tree that prints and reads back as itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace slora;
  const Result<Json> json = parse_json({reinterpret_cast<const char*>(data), bytes});
  if (!json) return 0;
  const Result<Json> again = parse_json(json->dump());
  check(again && *again == *json, "JSON that reads back as itself");
  return 0;
}
