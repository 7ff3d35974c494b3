#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>

#include "adapters/adapter_folder.h"
#include "adapters/adapter_summary.h"
#include "api/model_name.h"
#include "api/text_model.h"
#include "backend/backend.h"
#include "cli/byte_size.h"
#include "cli/commands.h"
#include "cli/model_path.h"
#include "cli/runtime_arguments.h"
#include "engine/runtime.h"
#include "formats/model_folder.h"
#include "formats/model_tensors.h"
#include "model/kv_geometry.h"
#include "model/weights.h"

namespace slora {
namespace {

constexpr std::int64_t kPositionsMax = 1 << 24;  // of --max-adapter-len

void line(std::string_view what, std::string_view value) { fmt::print("{:<16}{}\n", what, value); }

int refuse(std::string_view what, const Error& error) {
  line(what, "refused");
  line("reason", fmt::format("{}: {}", error.code, error.message));
  return 1;
}

// "1.15 MFLOP"
std::string shown_flops(double flops) {
  constexpr std::array kUnits = {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"};
  std::size_t unit = 0;
  for (; flops >= 1000 && unit + 1 < kUnits.size(); ++unit) flops /= 1000;
  return fmt::format("{:.3g} {}", flops, kUnits[unit]);
}

std::uint64_t parameter_count(const ModelFiles& files) {
  std::uint64_t count = 0;
  for (const ModelTensor& tensor : files.tensors()) count += tensor.info.bytes / bytes_of(tensor.info.dtype);
  return count;
}

// How a token's experts are chosen, and how many parameters a token meets.
void describe_mixture(const ModelConfig& config, std::uint64_t parameters) {
  const MixtureConfig& mixture = config.mixture;
  std::uint64_t of_experts = 0;
  for (const TensorEntry& entry : make_model_tensors(config).entries) {
    if (entry.site.expert > 0) of_experts += static_cast<std::uint64_t>(entry.rows * entry.columns);
  }
  const auto count = static_cast<std::uint64_t>(mixture.expert_count), chosen = static_cast<std::uint64_t>(mixture.experts_per_token);
  line("active", fmt::format("{} parameters for each token", parameters - of_experts / count * (count - chosen)));
  line("experts",
       fmt::format("{} of {} for each token in {} layers, of width {}{}", chosen, count, std::ranges::count(mixture.layers, true),
                   mixture.expert_width, mixture.shared_width > 0 ? fmt::format(", and a shared one of {}", mixture.shared_width) : ""));
}

// The page layout that the server would use for this model, which determines what an adapter costs.
Result<AdapterBase> make_adapter_base(const ModelConfig& config, const std::string& backend_name, KvGeometry& kv) {
  const Result<std::unique_ptr<Backend>> backend = create_backend(backend_name, {.threads = 1});
  if (!backend) return tl::unexpected<Error>(backend.error());
  const DType kv_dtype = (*backend)->kv_dtype();
  kv = make_kv_geometry(config, kv_dtype, default_page_tokens(config, kv_dtype));
  return AdapterBase{
      make_module_table(config), (*backend)->adapter_format(), kv.page_bytes(), kAdapterRankMax, nullptr, nullptr, kPositionsMax};
}

int inspect_model(const InspectArguments& arguments) {
  const Result<ModelFolder> opened = open_model_folder(arguments.folder);
  if (!opened) return refuse("model", opened.error());
  const ModelConfig* config = &opened->config;
  const ModelFiles* files = &opened->files;
  if (const Status weights = check_weights(*files, *config); !weights) return refuse("model", weights.error());
  KvGeometry kv;
  const Result<AdapterBase> base = make_adapter_base(*config, arguments.backend, kv);
  if (!base) return report(base.error());

  line("model", default_model_name(arguments.folder));
  line("family", name_of(config->family));
  line("shape", fmt::format("{} layers, hidden {}, intermediate {}, {} heads ({} for keys and values) of {}, vocabulary {}",
                            config->layer_count, config->hidden_size, config->intermediate_size, config->head_count, config->kv_head_count,
                            config->head_dim, config->vocab_size));
  line("parameters", fmt::format("{}{}", parameter_count(*files), config->tie_embeddings ? " (embeddings tied)" : ""));
  if (config->mixture.expert_count > 0) describe_mixture(*config, parameter_count(*files));
  line("weights", fmt::format("{}: tensors {}", shown_byte_size(files->total_bytes()), shown_stored_types(*files)));
  if (opened->quantised.count > 0) line("quantised", fmt::format("{} weights: {}", opened->quantised.count, opened->quantised.description));
  line("rope", fmt::format("{}, theta {}{}", name_of(config->rope.kind), config->rope.theta,
                           config->rope.kind == RopeKind::default_ ? "" : fmt::format(", factor {}", config->rope.factor)));
  const std::int32_t window = *std::ranges::max_element(config->window);
  line("context",
       fmt::format("{} tokens{}", config->max_position_embeddings, window > 0 ? fmt::format(", sliding window {}", window) : ""));
  const Result<std::shared_ptr<const TextModel>> text = TextModel::load(arguments.folder, {.vocabulary_size = config->vocab_size});
  if (text) line("end tokens", fmt::format("{}", fmt::join((*text)->sampling().end_tokens, ", ")));
  line("page", fmt::format("{} = {} tokens of KV cache for all layers, {} per token", shown_byte_size(kv.page_bytes()), kv.page_tokens,
                           shown_byte_size(kv.page_bytes() / static_cast<std::size_t>(kv.page_tokens))));
  line("tokenizer", text ? fmt::format("{} tokens", (*text)->tokenizer().vocabulary_size()) : "refused: " + text.error().message);
  if (text) line("chats", (*text)->chat_refusal() ? "refused: " + (*text)->chat_refusal()->message : "served");
  for (const std::string& warning : config->warnings) line("note", warning);
  return text ? 0 : 1;
}

// Null where the adapter's folder brings no text files.
Result<std::shared_ptr<const TextModel>> text_of_adapter(const InspectArguments& arguments, std::int32_t vocabulary_size,
                                                         std::int32_t added_tokens) {
  const Result<TextFiles> files = TextFiles::read(arguments.folder);
  if (!files) return tl::unexpected(files.error());
  if (files->is_empty()) return std::shared_ptr<const TextModel>();
  const Result<std::shared_ptr<const TextModel>> base = TextModel::load(arguments.model, {.vocabulary_size = vocabulary_size});
  if (!base) return base;
  return TextModel::of_adapter(*files, *base, added_tokens);
}

int inspect_adapter(const InspectArguments& arguments) {
  const Result<AdapterSummary> summary = describe_adapter(arguments.folder);
  if (!summary) return refuse("adapter", summary.error());
  line("adapter", default_model_name(arguments.folder));
  line("family", fmt::format("{}: {}", summary->family, summary->formula));
  if (!summary->invocation_tokens.empty())
    line("acts from", fmt::format("the tokens {} of a prompt on (aLoRA)", fmt::join(summary->invocation_tokens, ", ")));
  line("made for", summary->base_model_name.empty() ? "(its config does not say)" : summary->base_model_name);
  line("targets", fmt::format("{} ({} modules)", fmt::join(summary->targets, ", "), summary->module_count));
  if (summary->rank_max > 0) {
    line("ranks", summary->rank_min == summary->rank_max ? fmt::format("{}", summary->rank_max)
                                                         : fmt::format("{} to {}", summary->rank_min, summary->rank_max));
  }
  line("parameters", fmt::format("{}", summary->parameter_count));
  line("file", shown_byte_size(summary->file_bytes));
  for (const std::string& warning : summary->warnings) line("note", warning);
  if (arguments.model.empty()) {
    line("pages", "(give --model DIR to see whether that base serves it, and what it takes)");
    return 0;
  }
  if (const Status folder = check_model_folder(arguments.model); !folder) return report(folder.error());
  Result<ModelFolder> model = open_model_folder(arguments.model);
  if (!model) return report(model.error());
  KvGeometry kv;
  Result<AdapterBase> base = make_adapter_base(model->config, arguments.backend, kv);
  if (!base) return report(base.error());
  base->weights = std::make_shared<const ModelFiles>(std::move(model->files));
  const Result<AdapterCost> cost = measure_adapter(arguments.folder, *base);
  if (!cost) return refuse("on this base", cost.error());
  const Result<std::shared_ptr<const TextModel>> text = text_of_adapter(arguments, model->config.vocab_size, cost->added_tokens);
  if (!text) return refuse("on this base", text.error());
  for (const std::string& warning : cost->warnings) {
    if (std::ranges::find(summary->warnings, warning) == summary->warnings.end()) line("note", warning);
  }
  line("on this base", "served");
  if (cost->extension) line("context", fmt::format("{} tokens, RoPE factor {}", cost->extension->tokens_max, cost->extension->factor));
  if (*text) {
    line("end tokens", fmt::format("{}", fmt::join((*text)->sampling().end_tokens, ", ")));
    line("chats", (*text)->chat_refusal() ? "refused: " + (*text)->chat_refusal()->message : "served");
  }
  const std::string shared = cost->shared_page_count == 0
                                 ? std::string()
                                 : fmt::format(", and {} that it shares with adapters of the same projection", cost->shared_page_count);
  line("pages",
       fmt::format("{}{} of {} ({} in the pool, {:.3g} times the file)", cost->page_count, shared, shown_byte_size(base->page_bytes),
                   shown_byte_size(cost->image_bytes), static_cast<double>(cost->image_bytes) / static_cast<double>(summary->file_bytes)));
  line("per token", fmt::format("{} more, {:.3g} % of the base's {}", shown_flops(cost->token_flops),
                                100 * cost->token_flops / cost->base_token_flops, shown_flops(cost->base_token_flops)));
  line("per step", fmt::format("{} of it read", shown_byte_size(cost->step_bytes)));
  return 0;
}

}  // namespace

int run_inspect(const InspectArguments& arguments) {
  const std::filesystem::path folder(arguments.folder);
  std::error_code ignored;
  const Result<Folder> opened = Folder::open(FolderPath(arguments.folder));
  const bool is_model = std::filesystem::exists(folder / "config.json", ignored) && !std::filesystem::exists(folder / kPeftConfig, ignored);
  if (opened && !is_model && is_adapter_folder(*opened)) return inspect_adapter(arguments);
  if (const Status model = check_model_folder(arguments.folder); !model) {
    if (!std::filesystem::is_directory(folder, ignored)) return report(model.error());
    return report(
        {"nothing_here", fmt::format("{} is neither a model (config.json) nor an adapter (adapter_config.json).", arguments.folder), {}});
  }
  return inspect_model(arguments);
}

}  // namespace slora
