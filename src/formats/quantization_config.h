#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/json.h"
#include "formats/module_names.h"

namespace slora {

// The program whose form quantised weights have, as "quant_method" names it.
enum class QuantMethod : std::uint8_t { gptq, awq, compressed_tensors, fp8, bitsandbytes };

std::string_view name_of(QuantMethod method);

// What stands in the files for the numbers of a weight [out, in].
enum class WeightCodes : std::uint8_t {
  gptq,    // integers, packed along in: I32 [in x bits / 32, out], the first in the lowest bits
  awq,     // integers of 4 bits, packed along out: I32 [in, out / 8], in an order of AWQ's
  packed,  // integers, packed along in: I32 [out, in x bits / 32], the first in the lowest bits
  int8,    // I8 [out, in]
  float8,  // F8_E4M3 [out, in]
  nf4,     // NF4 of bitsandbytes, in blocks that follow each other through the rows
};

// How the weights of some linear modules are quantised: a number is (code - zero) x scale.
struct WeightScheme {
  WeightCodes codes = WeightCodes::gptq;
  std::int32_t bits = 4;
  std::int64_t scale_rows = 1;     // outputs that share a scale; 0: all
  std::int64_t scale_columns = 0;  // inputs that share a scale; 0: all
  bool has_zeros = false;          // zeros are stored; else they are the middle of the codes
  bool has_groups = false;         // a tensor must say which scale each input has
  ModuleNames targets;

  // "4 bits, groups of 128"
  [[nodiscard]] std::string description() const;
};

// "quantization_config" of a config.json. What is not served has been refused.
struct QuantizationConfig {
  QuantMethod method = QuantMethod::gptq;
  std::vector<WeightScheme> schemes;   // of those whose targets list a module, the closest is the module's
  ModuleNames plain;                   // modules that are not quantised
  bool stores_zeros_less_one = false;  // GPTQ's first form
  std::vector<std::string> warnings;   // for the log
};

// E_BAD_JSON, E_MODEL_CONFIG (a value that makes no sense), E_UNSUPPORTED_MODEL (one that is not served) or E_PATTERN, with key, expected
// and found. Requires: `config` is an object.
[[nodiscard]] Result<QuantizationConfig> parse_quantization_config(const Json& config);
// Of `folder`/config.json; nothing where that has none.
[[nodiscard]] Result<std::optional<QuantizationConfig>> read_quantization_config(const std::string& folder);

}  // namespace slora
