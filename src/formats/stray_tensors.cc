#include "formats/stray_tensors.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace slora {
namespace {

// Last components of names: rotary frequencies and tables, causal masks, positions.
constexpr std::array<std::string_view, 8> kDerived = {"inv_freq",    "original_inv_freq", "cos_cached",   "sin_cached",
                                                      "causal_mask", "masked_bias",       "position_ids", "rope_freqs"};

// Scales that only a quantised KV cache uses, and bookkeeping of training.
constexpr std::array<std::string_view, 7> kUnused = {
    "k_scale", "v_scale", "q_scale", "kv_scale", "prob_output_scale", "_extra_state", "num_batches_tracked"};

// Words of which any in a name tells that the tensor takes part in the network's arithmetic.
constexpr std::array<std::string_view, 26> kForeignWords = {
    "weight",  "bias",   "norm",   "scale", "lora_", "expert", "gate",  "router", "quant", "zero",  "absmax",     "g_idx", "perm",
    "adapter", "prompt", "prefix", "sink",  "rope",  "rotary", "slope", "alibi",  "conv",  "state", "projection", "embed", "_proj"};

std::string lowered_name(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

bool lists(const auto& list, std::string_view name) { return std::ranges::find(list, name) != list.end(); }

}  // namespace

StrayTensor stray_tensor(std::string_view name, DType dtype) {
  const std::string_view last = name.substr(name.rfind('.') + 1);  // the whole name where it has no dot
  if (lists(kDerived, last)) return StrayTensor::derived;
  if (lists(kUnused, last)) return StrayTensor::unused;
  if (dtype == DType::boolean && last == "bias") return StrayTensor::derived;  // a causal mask
  // Only what is named below its module counts: "self_attn.q_proj.calls_seen" is a counter of q_proj.
  const std::string lowered = lowered_name(last);
  const bool is_foreign =
      std::ranges::any_of(kForeignWords, [&](std::string_view word) { return lowered.find(word) != std::string::npos; });
  return is_foreign ? StrayTensor::foreign : StrayTensor::unused;
}

}  // namespace slora
