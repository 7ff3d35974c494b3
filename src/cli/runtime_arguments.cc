#include "cli/runtime_arguments.h"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "api/model_name.h"
#include "cli/byte_size.h"
#include "cli/model_path.h"
#include "formats/json.h"
#include "text/utf8.h"

namespace slora {

Result<RuntimeOptions> make_runtime_options(const ModelArguments& arguments) {
  if (Status folder = check_model_folder(arguments.model); !folder) {
    folder.error().message = "--model: " + folder.error().message;
    return forward_error(folder);
  }
  std::vector<std::string> shown_names = arguments.served_model_names;
  if (shown_names.empty()) shown_names = {default_model_name(arguments.model)};
  for (const std::string& name : shown_names) {
    if (name.empty() || !is_valid_utf8(name))
      return error("bad_option", "--served-model-name: expected a name in UTF-8, found {}", quote(name));
  }
  RuntimeOptions options;
  options.model_folder = arguments.model;
  options.model_name = model_names_of(arguments).front();
  options.backend = arguments.backend;
  if (arguments.weights != "bf16" && arguments.weights != "int8") {
    return error("bad_option", "--weights: expected bf16 or int8, found {}", quote(arguments.weights));
  }
  options.weights = arguments.weights == "int8" ? WeightStorage::int8 : WeightStorage::bf16;
  options.threads = arguments.threads;
  options.shard_count = arguments.shards;
  options.page_tokens = arguments.page_tokens;
  options.max_model_len = arguments.max_model_len;
  options.waiting_max = arguments.waiting_max;
  options.policy.name = arguments.policy;
  if (Result<std::unique_ptr<Policy>> policy = make_policy(options.policy); !policy) {
    return error("bad_option", "--{}", policy.error().message);
  }
  if (!arguments.pool_memory.empty()) {
    const Result<std::uint64_t> bytes = parse_byte_size(arguments.pool_memory);
    if (!bytes) return error("bad_option", "--pool-memory: {}", bytes.error().message);
    options.pool_bytes = *bytes;
  }
  if (options.page_tokens && !std::has_single_bit(static_cast<std::uint32_t>(*options.page_tokens))) {
    return error("bad_option", "--page-tokens: expected a power of two such as 16, found {}", *options.page_tokens);
  }
  for (const std::string& folder : arguments.adapters) options.adapter_folders.emplace_back(folder);
  for (const std::string& module : arguments.lora_modules) {
    const std::size_t equals = module.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == module.size()) {
      return error("bad_option", "--lora-modules: expected name=path, found \"{}\"", module);
    }
    const std::string name = module.substr(0, equals);
    if (std::ranges::find(options.named_adapters, name, [](const auto& named) { return named.first; }) != options.named_adapters.end()) {
      return error("bad_option", "--lora-modules: the name {} is given twice", quote(name));
    }
    options.named_adapters.emplace_back(name, module.substr(equals + 1));
  }
  return options;
}

std::vector<std::string> model_names_of(const ModelArguments& arguments) {
  if (!arguments.served_model_names.empty()) return arguments.served_model_names;
  return {default_model_name(arguments.model), arguments.model};
}

int report(const Error& error) {
  fmt::print(stderr, "slora: {}\n", error.message);
  return 1;
}

}  // namespace slora
