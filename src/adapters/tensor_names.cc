#include "adapters/tensor_names.h"

#include <array>

namespace slora {
namespace {

NameSegments segments_of(std::string_view name) {
  NameSegments segments;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    segments.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return segments;
}

// Components that training frameworks put into names, at any place: of torch.compile, FSDP, FairScale, activation checkpointing, Lightning,
// Opacus, and DDP or DeepSpeed. No module of a served base is called so.
constexpr std::array<std::string_view, 7> kWrappers = {
    "_orig_mod", "_fsdp_wrapped_module", "_fpw_module", "_checkpoint_wrapped_module", "_forward_module", "_module", "module"};
// What a trainer's own module may call the PEFT model that it holds.
constexpr std::array<std::string_view, 3> kHolders = {"model", "pretrained_model", "policy"};

// Parameters that are no modules: in raw state dictionaries the adapter's name ends theirs, as in "lora_magnitude_vector.default". LoRA's A
// and B are modules, AdaLoRA's are not.
constexpr std::array<std::string_view, 20> kParameters = {"lora_magnitude_vector",
                                                          "lora_A",
                                                          "lora_B",
                                                          "lora_E",
                                                          "hada_w1_a",
                                                          "hada_w1_b",
                                                          "hada_w2_a",
                                                          "hada_w2_b",
                                                          "vblora_logits_A",
                                                          "vblora_logits_B",
                                                          "ia3_l",
                                                          "vera_lambda_b",
                                                          "vera_lambda_d",
                                                          "hira_A",
                                                          "hira_B",
                                                          "flora_A",
                                                          "flora_B",
                                                          "shira_weight",
                                                          "shira_indices",
                                                          "trainable_tokens_delta"};

bool is_in(const auto& list, std::string_view segment) { return std::ranges::find(list, segment) != list.end(); }

NameSegments unwrapped(std::string_view name) {
  NameSegments segments = segments_of(name);
  if (is_in(segments, "")) return {};  // no module has an empty name, and readers mean the whole adapter by an empty path
  std::erase_if(segments, [](std::string_view segment) { return is_in(kWrappers, segment); });
  return segments;
}

NameSegments::iterator first_after_holders(NameSegments& segments) {
  return std::ranges::find_if_not(segments, [](std::string_view segment) { return is_in(kHolders, segment); });
}

}  // namespace

NameSegments normalised_name(std::string_view name) {
  NameSegments segments = unwrapped(name);
  const auto first = first_after_holders(segments);
  const auto begins_peft = [&](auto at) { return segments.end() - at >= 3 && at[0] == "base_model" && at[1] == "model"; };
  if (!begins_peft(first)) return {};
  segments.erase(segments.begin(), first);
  while (begins_peft(segments.begin())) segments.erase(segments.begin(), segments.begin() + 2);

  const bool is_parameter =
      segments.size() >= 2 && is_in(kParameters, segments[segments.size() - 2]) && segments.back() != "weight" && segments.back() != "bias";
  if (is_parameter) segments.pop_back();
  const std::size_t count = segments.size();
  const auto is_wrapper = [](std::string_view segment) { return segment.starts_with("lora_") || segment == "ln_tuning_layers"; };
  const bool names_adapter = count >= 3 && is_wrapper(segments[count - 3]) && (segments.back() == "weight" || segments.back() == "bias");
  if (names_adapter) segments.erase(segments.end() - 2);
  return segments;
}

std::string_view name_of_shared(std::string_view name) {
  NameSegments segments = unwrapped(name);
  segments.erase(segments.begin(), first_after_holders(segments));
  const bool is_shared = (segments.size() == 2 || segments.size() == 3) && segments[0] == "base_model" && segments[1] != "model";
  return is_shared ? segments[1] : std::string_view();
}

bool is_of_adapter(std::string_view segment) { return segment.starts_with("lora_") || is_in(kParameters, segment); }

std::string path_of(std::span<const std::string_view> segments) { return fmt::format("{}", fmt::join(segments, ".")); }

bool contains(const NameSegments& segments, std::string_view segment) {
  return std::find(segments.begin(), segments.end(), segment) != segments.end();
}

bool is_float(DType dtype) { return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f64; }

bool is_integer(DType dtype) {
  return dtype == DType::u8 || dtype == DType::i8 || dtype == DType::i16 || dtype == DType::i32 || dtype == DType::i64;
}

std::string shape_of(const TensorInfo& tensor) { return fmt::format("[{}]", fmt::join(tensor.shape, ", ")); }

Status check_dimensions(const TensorInfo& tensor, std::size_t count) {
  if (tensor.shape.size() == count) return {};
  return error("E_SHAPE", "tensor {}: expected {} dimensions, found {}", quote(tensor.name), count, shape_of(tensor));
}

Status check_vector(const TensorInfo& tensor, std::int64_t count) {
  if (const Status status = check_dimensions(tensor, 1); !status) return status;
  if (tensor.shape[0] != count) return error("E_SHAPE", "tensor {}: expected [{}], found {}", quote(tensor.name), count, shape_of(tensor));
  return {};
}

}  // namespace slora
