#pragma once
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "adapters/testing/lora_fixture.h"
#include "formats/json.h"

namespace slora {

// A safetensors file of the fixture with its config in the metadata, as the tensors in a request are.
inline std::string pushed_file(const LoraFixture& fixture) {
  const TemporaryFolder folder;
  const std::string path = folder.file("body");
  check(write_safetensors(path, fixture.tensors).has_value(), "expected to write the file");
  const std::string file = read_text_file(path, 1 << 20).value();
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, file.data(), sizeof bytes);
  Json header = Json::parse(file.substr(sizeof bytes, bytes));
  header["__metadata__"] = {{"adapter_config", fixture.config}};
  const std::string text = header.dump();
  const std::uint64_t text_bytes = text.size();
  std::string body(sizeof text_bytes, '\0');
  std::memcpy(body.data(), &text_bytes, sizeof text_bytes);
  return body + text + file.substr(sizeof bytes + bytes);
}

}  // namespace slora
