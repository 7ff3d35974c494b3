#include "cli/runtime_arguments.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/model_name.h"
#include "base/log_record.h"
#include "cli/byte_size.h"
#include "cli/instructions_option.h"
#include "cli/model_path.h"
#include "formats/json.h"
#include "text/utf8.h"

namespace slora {

namespace {

using NamedFolder = std::pair<std::string, std::filesystem::path>;

// What one value of --lora-modules says.
struct Module {
  NamedFolder folder;
  bool is_pinned = false;
};

// The member under any of its names; null when it is absent.
const Json* any_member(const Json& object, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const Json* member = find_member(object, name)) return member;
  }
  return nullptr;
}

// "~/adapters" as the shell would write it, which leaves NAME=~/adapters and JSON alone.
std::filesystem::path in_home(const std::string& path) {
  const char* home = path.starts_with("~/") ? std::getenv("HOME") : nullptr;
  return home == nullptr ? std::filesystem::path(path) : std::filesystem::path(home) / path.substr(2);
}

// vLLM's {"name", "path", "base_model_name"} or SGLang's {"lora_name", "lora_path", "pinned"}.
Result<Module> module_of_json(const std::string& module) {
  const Result<Json> json = parse_json(module);
  if (!json) return error("bad_option", "--lora-modules: expected JSON, found {}: {}", quote(module), json.error().message);
  if (!json->is_object()) return error("bad_option", "--lora-modules: expected an object, found {}", quote(module));
  for (const auto& [name, value] : json->items()) {
    constexpr std::array<std::string_view, 7> known = {"name",   "path",        "lora_name", "lora_path", "base_model_name",
                                                       "pinned", "load_inplace"};
    if (std::ranges::find(known, name) != known.end() || value.is_null()) continue;
    return error("bad_option", R"(--lora-modules: expected "name" and "path", found {} in {})", quote(name), quote(module));
  }
  const Json* name = any_member(*json, {"name", "lora_name"});
  const Json* path = any_member(*json, {"path", "lora_path"});
  const auto is_text = [](const Json* value) { return value != nullptr && value->is_string() && *value != ""; };
  if (!is_text(name) || !is_text(path)) {
    return error("bad_option", R"(--lora-modules: expected "name" and "path" as texts, found {})", quote(module));
  }
  const Json* pinned = find_member(*json, "pinned");
  if (pinned != nullptr && !pinned->is_boolean() && !pinned->is_null()) {
    return error("bad_option", R"(--lora-modules: "pinned": expected true or false, found {})", quote(module));
  }
  const bool is_pinned = pinned != nullptr && pinned->is_boolean() && pinned->get<bool>();
  return Module{{name->get<std::string>(), in_home(path->get<std::string>())}, is_pinned};
}

Result<Module> module_of(const std::string& module) {
  if (module.starts_with('{') || module.starts_with('[')) return module_of_json(module);
  const std::size_t equals = module.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == module.size()) {
    return error("bad_option", "--lora-modules: expected name=path, or JSON with \"name\" and \"path\", found {}", quote(module));
  }
  return Module{{module.substr(0, equals), in_home(module.substr(equals + 1))}};
}

// A pair that is given twice counts once; a name with two folders is refused.
Status add_modules_to(RuntimeOptions& options, const std::vector<std::string>& modules) {
  for (const std::string& text : modules) {
    Result<Module> module = module_of(text);
    if (!module) return forward_error(module);
    const auto& [name, folder] = module->folder;
    if (module->is_pinned && std::ranges::find(options.pinned_adapters, name) == options.pinned_adapters.end()) {
      options.pinned_adapters.push_back(name);
    }
    const auto before = std::ranges::find(options.named_adapters, name, &NamedFolder::first);
    if (before == options.named_adapters.end()) {
      options.named_adapters.push_back(std::move(module->folder));
    } else if (before->second != folder) {
      return error("bad_option", "--lora-modules: the name {} is given twice, with the folders {} and {}", quote(name),
                   before->second.string(), folder.string());
    }
  }
  return {};
}

Timestamp timestamp_of(double seconds) { return std::chrono::duration_cast<Timestamp>(std::chrono::duration<double>(seconds)); }

// Options of a policy that does not run are refused: who gives them expects an effect.
Status set_policy(RuntimeOptions& options, const ModelArguments& arguments) {
  PolicyOptions& policy = options.policy;
  policy.name = arguments.policy;
  if (Result<std::unique_ptr<Policy>> made = make_policy(policy); !made) return error("bad_option", "--{}", made.error().message);
  const auto refuse = [&](std::string_view option, std::string_view needed) {
    return error("bad_option", "--{}: expected --policy {} with it, found --policy {}", option, needed, policy.name);
  };
  if (policy.name != "adapter-grouped") {
    if (arguments.adapter_group_max) return refuse("adapter-group-max", "adapter-grouped");
    if (!arguments.adapter_group_memory.empty()) return refuse("adapter-group-memory", "adapter-grouped");
    if (arguments.adapter_wait_seconds) return refuse("adapter-wait-max", "adapter-grouped");
  }
  if (policy.name != "deadline") {
    if (arguments.first_token_slo_seconds) return refuse("first-token-slo", "deadline");
    if (!arguments.first_token_reward.empty()) return refuse("first-token-reward", "deadline");
  }
  if (const std::optional<std::int32_t> group_max = arguments.adapter_group_max) {
    policy.adapter_group.adapters_max = *group_max == 0 ? kAnyAdapterCount : static_cast<std::size_t>(*group_max);
  }
  if (!arguments.adapter_group_memory.empty()) {
    const Result<std::uint64_t> bytes = parse_byte_size(arguments.adapter_group_memory);
    if (!bytes) return error("bad_option", "--adapter-group-memory: {}", bytes.error().message);
    options.adapter_group_bytes = *bytes;
  }
  if (arguments.adapter_wait_seconds) policy.adapter_group.wait_max = timestamp_of(*arguments.adapter_wait_seconds);
  if (arguments.first_token_slo_seconds) policy.deadlines.first_token_slo = timestamp_of(*arguments.first_token_slo_seconds);
  if (arguments.first_token_reward == "attainment") policy.deadlines.reward = FirstTokenReward::attainment;
  return {};
}

}  // namespace

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
  const bool is_nf4 = arguments.weights == kNf4Weights;
  const std::optional<WeightStorage> storage = is_nf4 ? WeightStorage::bf16 : weight_storage_of(arguments.weights);
  if (!storage) return error("bad_option", "--weights: expected bf16, int8, int4 or {}, found {}", kNf4Weights, quote(arguments.weights));
  options.weights = *storage;
  options.weight_rounding = is_nf4 ? WeightRounding::nf4 : WeightRounding::none;
  if (arguments.cuda_products != "own" && arguments.cuda_products != "cublaslt") {
    return error("bad_option", "--cuda-products: expected own or cublaslt, found {}", quote(arguments.cuda_products));
  }
  options.cuda_products = arguments.cuda_products == "cublaslt" ? CudaProducts::cublaslt : CudaProducts::own;
  options.instructions = instructions_of(arguments.instructions);
  options.threads = arguments.threads;
  options.shard_count = arguments.shards;
  options.page_tokens = arguments.page_tokens;
  options.max_model_len = arguments.max_model_len;
  options.max_adapter_len = arguments.max_adapter_len;
  options.waiting_max = arguments.waiting_max;
  if (Status set = set_policy(options, arguments); !set) return forward_error(set);
  if (!arguments.pool_memory.empty()) {
    const Result<std::uint64_t> bytes = parse_byte_size(arguments.pool_memory);
    if (!bytes) return error("bad_option", "--pool-memory: {}", bytes.error().message);
    options.pool_bytes = *bytes;
  }
  if (options.page_tokens && !std::has_single_bit(static_cast<std::uint32_t>(*options.page_tokens))) {
    return error("bad_option", "--page-tokens: expected a power of two such as 16, found {}", *options.page_tokens);
  }
  for (const std::string& folder : arguments.adapters) options.adapter_folders.emplace_back(folder);
  if (Status added = add_modules_to(options, arguments.lora_modules); !added) return forward_error(added);
  return options;
}

std::vector<std::string> model_names_of(const ModelArguments& arguments) {
  if (arguments.served_model_names.empty()) return {default_model_name(arguments.model), arguments.model};
  std::vector<std::string> names;
  for (const std::string& name : arguments.served_model_names) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return names;
}

int report(const Error& error) {
  if (log_format() == LogFormat::json) {
    log_error("{}", error.message);
  } else {
    fmt::print(stderr, "slora: {}\n", error.message);
  }
  return 1;
}

}  // namespace slora
