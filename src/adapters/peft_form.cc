#include "adapters/peft_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "adapters/tensor_names.h"
#include "formats/safetensors_writer.h"

namespace slora {

std::uint64_t PeftForm::file_bytes() const {
  std::uint64_t bytes = safetensors_beginning(tensors).size();
  for (const ReadableTensor& tensor : tensors) bytes += tensor.info.bytes;
  return bytes;
}

Json lora_config(std::string_view base_model_name) {
  return {{"peft_type", "LORA"}, {"task_type", "CAUSAL_LM"}, {"base_model_name_or_path", base_model_name}, {"bias", "none"}};
}

std::string text_of_config(const Json& config) { return config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json module_list(std::vector<std::string> paths) {
  std::ranges::sort(paths);
  const auto rest = std::ranges::unique(paths);
  paths.erase(rest.begin(), rest.end());
  return paths;
}

void rename_tensor(ReadableTensor& tensor, std::string_view path, std::string_view ending) {
  tensor.info.name = fmt::format("base_model.model.{}.{}", path, ending);
}

tl::unexpected<Error> refuse_tensor_of(std::string_view program, const ReadableTensor& tensor) {
  return error("E_UNKNOWN_TENSOR", "tensor {}: expected LoRA of a linear module as {} has it, found {} {}", quote(tensor.info.name),
               program, name_of(tensor.info.dtype), shape_of(tensor.info));
}

Result<ReadableTensor> in_order_of_base(ReadableTensor tensor, std::string_view path, const ModuleTable* base) {
  const bool is_query = path.ends_with(".q_proj");
  if (!is_query && !path.ends_with(".k_proj")) return tensor;
  if (base == nullptr) {
    tensor.read = [name = tensor.info.name](std::span<std::byte>) -> Status {
      return error("E_NO_BASE", "tensor {}: the order of its rows depends on the heads of the base model: give it with --model",
                   quote(name));
    };
    return tensor;
  }
  const std::int64_t heads = is_query ? base->head_count : base->kv_head_count;
  if (tensor.info.shape.empty() || heads < 1 || tensor.info.shape[0] % (2 * heads) != 0) {
    return error("E_SHAPE", "tensor {}: expected rows of {} heads of equal and even size, found {}", quote(tensor.info.name), heads,
                 shape_of(tensor.info));
  }
  return with_pairs_apart(std::move(tensor), heads);
}

}  // namespace slora
