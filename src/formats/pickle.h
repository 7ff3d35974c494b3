#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace slora {

// What a pickle says, as inert data: nothing that it names is looked up, and nothing it asks to call is called. Only what PyTorch writes
// for dictionaries of tensors is understood (protocol 2), everything else is refused by name.
struct Pickle {
  enum class Kind : std::uint8_t {
    none,
    boolean,
    integer,
    long_integer,  // of more than 8 bytes: `text` has them, little-endian
    real,
    text,
    name,        // of a class or function: `text`
    tuple,       // items
    list,        // items
    dictionary,  // items: key, value, key, value, ...
    call,        // of the name `text`, with `argument`, a tuple; items as of a dictionary, where it was filled afterwards
    persistent,  // stands for what lies outside of the pickle: described by `argument`
  };
  using Index = std::uint32_t;  // of a value

  // Values refer to each other by index and may do so in circles: readers go down to a fixed depth only.
  struct Value {
    Kind kind = Kind::none;
    std::int64_t integer = 0;
    double real = 0;
    std::string_view text{};  // within the pickle's bytes
    std::vector<Index> items{};
    Index argument = 0;
  };

  std::vector<Value> values;
  Index root = 0;
  std::size_t bytes = 0;  // up to its end

  [[nodiscard]] const Value& at(Index index) const { return values[index]; }
};

struct PickleLimits {
  std::size_t values_max = std::size_t{1} << 20;
};

// Reads the pickle at the begin of `bytes`, which must outlive it. `names` are the classes and functions that it may name, as "module
// name". E_PICKLE.
[[nodiscard]] Result<Pickle> parse_pickle(std::span<const std::byte> bytes, std::span<const std::string_view> names,
                                          const PickleLimits& limits = {});

}  // namespace slora
