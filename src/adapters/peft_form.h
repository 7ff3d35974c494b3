#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/json.h"
#include "formats/module_table.h"
#include "formats/readable_tensor.h"

namespace slora {

// An adapter of another program, as PEFT would have saved it: same numbers, other names and orders.
struct PeftForm {
  std::string config;                   // of adapter_config.json
  std::vector<ReadableTensor> tensors;  // of adapter_model.safetensors

  // Of adapter_model.safetensors.
  [[nodiscard]] std::uint64_t file_bytes() const;
};

// What the readers of other programs' forms have in common.

// The beginning of a LoRA config.
[[nodiscard]] Json lora_config(std::string_view base_model_name);
[[nodiscard]] std::string text_of_config(const Json& config);
// A list of paths, sorted, each once.
[[nodiscard]] Json module_list(std::vector<std::string> paths);
// "base_model.model.PATH.ENDING"
void rename_tensor(ReadableTensor& tensor, std::string_view path, std::string_view ending);
// E_UNKNOWN_TENSOR
[[nodiscard]] tl::unexpected<Error> refuse_tensor_of(std::string_view program, const ReadableTensor& tensor);

// A tensor whose rows are outputs of the module at `path`, from a program that has Meta's order of the outputs of q and k: in Hugging
// Face's order, which `base` has. Without a base, reading its numbers fails: E_NO_BASE. E_SHAPE.
[[nodiscard]] Result<ReadableTensor> in_order_of_base(ReadableTensor tensor, std::string_view path, const ModuleTable* base);

}  // namespace slora
