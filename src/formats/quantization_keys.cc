#include "formats/quantization_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "formats/suspicious_words.h"

namespace slora {
namespace {

constexpr std::size_t kQuantizationWarningsMax = 8;

// Keys that are read, or change nothing in how weights are stored: how they were made, and which kernels once computed with them.
// GPTQ and AWQ.
constexpr std::array<std::string_view, 57> kPackedKeys = {"act_group_aware",
                                                          "backend",
                                                          "batch_size",
                                                          "bits",
                                                          "block_name_to_quantize",
                                                          "cache_block_outputs",
                                                          "checkpoint_format",
                                                          "damp_auto_increment",
                                                          "damp_percent",
                                                          "dataset",
                                                          "desc_act",
                                                          "device",
                                                          "disable_exllama",
                                                          "do_fuse",
                                                          "dynamic",
                                                          "exllama_config",
                                                          "format",
                                                          "fuse_max_seq_len",
                                                          "group_size",
                                                          "iterations",
                                                          "lm_head",
                                                          "max_input_length",
                                                          "meta",
                                                          "method",
                                                          "model_file_base_name",
                                                          "model_name_or_path",
                                                          "model_seqlen",
                                                          "module_name_preceding_first_block",
                                                          "modules_in_block_to_quantize",
                                                          "modules_to_fuse",
                                                          "modules_to_not_convert",
                                                          "mse",
                                                          "offload_to_disk",
                                                          "offload_to_disk_path",
                                                          "pack_dtype",
                                                          "pack_impl",
                                                          "pad_token_id",
                                                          "parallel_packing",
                                                          "q_group_size",
                                                          "quant_method",
                                                          "quantizer",
                                                          "static_groups",
                                                          "sym",
                                                          "tokenizer",
                                                          "true_sequential",
                                                          "use_cuda_fp16",
                                                          "use_exllama",
                                                          "v2",
                                                          "v2_alpha",
                                                          "version",
                                                          "w_bit",
                                                          "zero_point",
                                                          "hyb_act",
                                                          "compute_device_filter",
                                                          "gptaq",
                                                          "fail_safe",
                                                          "act_order"};
constexpr std::array<std::string_view, 13> kCompressedKeys = {
    "config_groups", "dequantize",          "format",         "global_compression_ratio", "ignore",           "kv_cache_scheme",
    "quant_method",  "quantization_status", "run_compressed", "sparsity_config",          "transform_config", "use_optimized_inference",
    "version"};
constexpr std::array<std::string_view, 5> kGroupKeys = {"targets", "weights", "input_activations", "output_activations", "format"};
constexpr std::array<std::string_view, 13> kWeightKeys = {"num_bits",        "type",     "symmetric", "strategy", "group_size",
                                                          "block_structure", "dynamic",  "actorder",  "observer", "observer_kwargs",
                                                          "scale_dtype",     "zp_dtype", "is_mse"};
constexpr std::array<std::string_view, 10> kFp8Keys = {"activation_scheme", "dequantize",         "expert_dtype",           "fmt",
                                                       "ignored_layers",    "modules_to_convert", "modules_to_not_convert", "quant_method",
                                                       "scale_fmt",         "weight_block_size"};
constexpr std::array<std::string_view, 13> kBitsandbytesKeys = {"_load_in_4bit",
                                                                "_load_in_8bit",
                                                                "bnb_4bit_compute_dtype",
                                                                "bnb_4bit_quant_storage",
                                                                "bnb_4bit_quant_type",
                                                                "bnb_4bit_use_double_quant",
                                                                "llm_int8_enable_fp32_cpu_offload",
                                                                "llm_int8_has_fp16_weight",
                                                                "llm_int8_skip_modules",
                                                                "llm_int8_threshold",
                                                                "load_in_4bit",
                                                                "load_in_8bit",
                                                                "quant_method"};

std::span<const std::string_view> known_keys(QuantizationKeys keys) {
  switch (keys) {
    case QuantizationKeys::packed:
      return kPackedKeys;
    case QuantizationKeys::compressed:
      return kCompressedKeys;
    case QuantizationKeys::group:
      return kGroupKeys;
    case QuantizationKeys::weights:
      return kWeightKeys;
    case QuantizationKeys::fp8:
      return kFp8Keys;
    case QuantizationKeys::bitsandbytes:
      break;
  }
  return kBitsandbytesKeys;
}

}  // namespace

Status check_quantization_keys(std::vector<std::string>& warnings, const Json& object, QuantizationKeys keys) {
  const std::span<const std::string_view> known = known_keys(keys);
  for (const auto& [key, value] : object.get_ref<const Json::object_t&>()) {
    if (is_off(value) || std::ranges::find(known, key) != known.end()) continue;
    const std::string word = suspicious_word(key, value);
    if (!word.empty()) {
      return error("E_UNSUPPORTED_MODEL",
                   "{}: expected nothing, found {}; this key is not known, and {} suggests that it changes the results", quote(key),
                   shown(value), quote(word));
    }
    if (warnings.size() < kQuantizationWarningsMax)
      warnings.push_back(fmt::format("config.json: \"quantization_config\": {} is not known and left out", quote(key)));
  }
  return {};
}

}  // namespace slora
