#include "train/adapter_masters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "adapters/adapter_image.h"
#include "adapters/part_reader.h"
#include "formats/json.h"
#include "formats/pattern.h"
#include "train/counter_draws.h"

namespace slora {
namespace {

bool is_trained(const Site& site) {
  return site.expert == 0 &&
         (site.kind == SiteKind::qkv || site.kind == SiteKind::o || site.kind == SiteKind::gate_up || site.kind == SiteKind::down);
}

void add_module(AdapterMasters& masters, const ModuleEntry& entry, std::int32_t rank, double alpha) {
  const double divisor = masters.scale_by_root_of_rank ? std::sqrt(rank) : rank;
  MasterModule module{.path = entry.path,
                      .site = entry.site,
                      .slice_begin = entry.slice_begin,
                      .in = entry.in,
                      .out = entry.out,
                      .rank = rank,
                      .alpha = alpha,
                      .scale = static_cast<float>(alpha / divisor),
                      .begin = masters.modules.empty() ? 0 : masters.modules.back().end()};
  masters.modules.push_back(std::move(module));
}

template <class T>
struct ValuePattern {
  ModulePattern pattern;
  T value;
};

template <class T>
Result<std::vector<ValuePattern<T>>> compile(const std::vector<std::pair<std::string, T>>& patterns) {
  std::vector<ValuePattern<T>> compiled;
  for (const auto& [key, value] : patterns) {
    Result<ModulePattern> pattern = ModulePattern::compile(key);
    if (!pattern) return forward_error(pattern);
    compiled.push_back({std::move(*pattern), value});
  }
  return compiled;
}

template <class T>
Result<T> value_of(const std::vector<ValuePattern<T>>& patterns, std::string_view path, T otherwise) {
  for (const ValuePattern<T>& entry : patterns) {
    const Result<bool> matches = entry.pattern.matches(path);
    if (!matches) return tl::unexpected(matches.error());
    if (*matches) return entry.value;
  }
  return otherwise;
}

// "q_proj, k_proj, ..."
std::string trained_names(const ModuleTable& base) {
  std::vector<std::string> names;
  for (const ModuleEntry& module : base.modules) {
    const std::string name(last_name(module.path));
    if (is_trained(module.site) && std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

Status check_targets(const std::vector<std::string>& targets, const ModuleTable& base) {
  for (const std::string& target : targets) {
    const auto is_it = [&](const ModuleEntry& module) { return is_trained(module.site) && last_name(module.path) == target; };
    if (std::ranges::any_of(base.modules, is_it)) continue;
    return error("E_TARGET", "target module {}: expected one of {}", quote(target), trained_names(base));
  }
  return {};
}

// A key that fits no module is a mistake, which PEFT would not tell.
template <class T>
Status check_patterns(const std::vector<ValuePattern<T>>& patterns, const std::vector<std::pair<std::string, T>>& given,
                      const std::vector<const ModuleEntry*>& entries) {
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    bool is_used = false;
    for (const ModuleEntry* module : entries) {
      const Result<bool> matches = patterns[i].pattern.matches(module->path);
      if (!matches) return tl::unexpected(matches.error());
      is_used = is_used || *matches;
    }
    if (!is_used)
      return error("E_PATTERN", "pattern {}: expected the end of a trained module's path, such as q_proj, found none that fits",
                   quote(given[i].first));
  }
  return {};
}

// Numbers of the table's modules in their order, without their values.
Result<AdapterMasters> shape_masters(const AdapterOptions& options, const ModuleTable& base) {
  if (Status known = check_targets(options.target_modules, base); !known) return forward_error(known);
  const auto ranks = compile(options.rank_pattern);
  if (!ranks) return tl::unexpected(ranks.error());
  const auto alphas = compile(options.alpha_pattern);
  if (!alphas) return tl::unexpected(alphas.error());
  AdapterMasters masters{.rank = options.rank, .alpha = options.alpha, .scale_by_root_of_rank = options.scale_by_root_of_rank};
  std::vector<const ModuleEntry*> entries;
  for (const ModuleEntry& module : base.modules) {
    const std::vector<std::string>& targets = options.target_modules;
    const bool is_target = targets.empty() || std::ranges::find(targets, last_name(module.path)) != targets.end();
    if (is_trained(module.site) && is_target) entries.push_back(&module);
  }
  std::ranges::stable_sort(entries, {}, [](const ModuleEntry* module) { return std::pair(module->site, module->slice_begin); });
  if (Status used = check_patterns(*ranks, options.rank_pattern, entries); !used) return forward_error(used);
  if (Status used = check_patterns(*alphas, options.alpha_pattern, entries); !used) return forward_error(used);
  for (const ModuleEntry* module : entries) {
    const Result<std::int32_t> rank = value_of(*ranks, module->path, options.rank);
    if (!rank) return tl::unexpected(rank.error());
    const Result<double> alpha = value_of(*alphas, module->path, options.alpha);
    if (!alpha) return tl::unexpected(alpha.error());
    if (*rank < 1 || *rank > kAdapterRankMax)
      return error("E_RANK", "{}: expected a rank from 1 to {}, found {}", module->path, kAdapterRankMax, *rank);
    if (!std::isfinite(*alpha)) return error("E_SCALE", "{}: expected a finite alpha, found {}", module->path, *alpha);
    add_module(masters, *module, *rank, *alpha);
  }
  return masters;
}

void draw_values(AdapterMasters& masters, std::uint64_t seed) {
  masters.values.assign(masters.modules.back().end(), 0.0f);
  for (std::size_t i = 0; i < masters.modules.size(); ++i) {
    const MasterModule& module = masters.modules[i];
    const double bound = 1 / std::sqrt(static_cast<double>(module.in));
    const std::span<float> a = module.a_of(std::span(masters.values));
    for (std::size_t k = 0; k < a.size(); ++k)
      a[k] = static_cast<float>((2 * drawn_number(seed, DrawPurpose::initial_value, i, k) - 1) * bound);
  }
}

bool is_plain(const AdapterRecord& record) {
  return record.module != kNoModule && record.parts.size() == 2 && record.find(PartKind::a) != nullptr &&
         record.find(PartKind::b) != nullptr && record.low_rank == LowRank::sum && is_trained(record.site);
}

Result<AdapterMasters> read_masters(const std::string& folder, const ModuleTable& base) {
  constexpr std::size_t kPageBytes = std::size_t{1} << 20;  // of an image that is never written
  const auto refuse = [&](const Error& why) { return error(why.code, "{}: {}", folder, why.message); };
  const Result<PreparedAdapter> adapter = prepare_adapter(FolderPath(folder), {.modules = base, .format = {}, .page_bytes = kPageBytes});
  if (!adapter) return refuse(adapter.error());
  const AdapterConfig& config = adapter->folder.config;
  AdapterMasters masters{
      .rank = static_cast<std::int32_t>(config.r), .alpha = config.lora_alpha, .scale_by_root_of_rank = config.use_rslora};
  PartReader reader(adapter->folder.weights, adapter->derived);
  const std::vector<AdapterRecord>& records = adapter->layouts.front().records;
  const bool acts_everywhere = config.invocation_tokens.empty() && !adapter->extension;
  if (config.family != AdapterFamily::lora || !acts_everywhere || !std::ranges::all_of(records, is_plain))
    return error("E_UNSUPPORTED_TRAINING", "{}: expected an adapter of LoRA on linear modules of layers alone, as others are not trained",
                 folder);
  for (const AdapterRecord& record : records) {
    const ModuleEntry& module = base.modules[static_cast<std::size_t>(record.module)];
    const Result<double> alpha = config.alpha_of(module.path);
    if (!alpha) return refuse(alpha.error());
    add_module(masters, module, record.rank, *alpha);
    masters.modules.back().scale = record.scale;
    for (const PartKind kind : {PartKind::a, PartKind::b}) {
      const Result<std::vector<float>> values = reader.read(*record.find(kind));
      if (!values) return refuse(values.error());
      masters.values.insert(masters.values.end(), values->begin(), values->end());
    }
  }
  return masters;
}

}  // namespace

Result<AdapterMasters> make_masters(const AdapterOptions& options, const ModuleTable& base, std::uint64_t seed) {
  if (options.method != "lora")
    return error("E_UNSUPPORTED_TRAINING", "method {}: expected \"lora\", the only one that is trained", quote(options.method));
  if (options.dropout != 0)
    return error("E_UNSUPPORTED_TRAINING", "dropout {}: expected 0, as dropout is not trained with", options.dropout);
  if (!options.init.empty()) return read_masters(options.init, base);
  Result<AdapterMasters> masters = shape_masters(options, base);
  if (!masters) return masters;
  draw_values(*masters, seed);
  return masters;
}

}  // namespace slora
