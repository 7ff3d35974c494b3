#include <fmt/format.h>

#include "adapters/adapter_conversion.h"
#include "cli/byte_size.h"
#include "cli/commands.h"
#include "cli/model_path.h"
#include "cli/runtime_arguments.h"
#include "formats/model_config.h"
#include "formats/module_table.h"

namespace slora {

int run_convert(const ConvertArguments& arguments) {
  ModuleTable base;
  if (!arguments.model.empty()) {
    if (const Status model = check_model_folder(arguments.model); !model) return report(model.error());
    const Result<ModelConfig> config = read_model_config(arguments.model);
    if (!config) return report(config.error());
    base = make_module_table(*config);
  }
  const Result<Conversion> made = convert_adapter({.folder = arguments.folder,
                                                   .out = arguments.out,
                                                   .base = arguments.model.empty() ? nullptr : &base,
                                                   .rope_factor = arguments.rope_factor});
  if (!made) return report({made.error().code, fmt::format("{}: {}", made.error().code, made.error().message), {}});
  fmt::print("{}: {} tensors in {}\n", arguments.out, made->tensor_count, shown_byte_size(made->file_bytes));
  if (!made->copied.empty()) fmt::print("copied: {}\n", fmt::join(made->copied, ", "));
  return 0;
}

}  // namespace slora
