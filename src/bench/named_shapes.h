#pragma once
#include <span>
#include <string_view>

namespace slora::bench {

// A built-in model shape: bench/shapes/NAME/config.json.
struct NamedShape {
  std::string_view name;
  std::string_view config;  // the file's text
};

[[nodiscard]] std::span<const NamedShape> named_shapes();

}  // namespace slora::bench
