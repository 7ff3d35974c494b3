#include "bench/offline_options.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "model/kv_geometry.h"

namespace slora::bench {
namespace {

constexpr std::int32_t kFirstSteps = 3;   // not measured: caches and threads warm up
constexpr std::int32_t kSpareSteps = 12;  // because sequences do not all start in the same step
constexpr std::uint64_t kSpareBytes = std::uint64_t{64} << 20;

std::vector<AdapterSetting> settings_of(const OfflineOptions& options) {
  std::vector<AdapterSetting> settings;
  for (const AdapterUse use : options.uses) {
    if (use == AdapterUse::none) settings.push_back({});
  }
  for (const AdapterKind& kind : options.kinds) {
    for (const AdapterUse use : options.uses) {
      if (use != AdapterUse::none) settings.push_back({use, kind, 0});
    }
  }
  return settings;
}

bool has(const OfflineOptions& options, AdapterUse use) { return std::ranges::find(options.uses, use) != options.uses.end(); }

void add_lists(std::vector<PlannedRow>& rows, const OfflineOptions& options, AdapterSetting setting) {
  if (options.requests == 0) return;
  std::vector<std::int32_t> registered = options.registered;
  if (setting.use != AdapterUse::distinct) registered = {0};
  for (const std::int32_t batch : options.batches) {
    for (const std::int32_t count : registered.empty() ? std::vector{batch} : registered) {
      setting.registered = count;
      rows.push_back({OfflineKind::requests, setting, batch, options.request_prompt_tokens});
    }
  }
}

// Repeats the last row for every number of adapters that its sequences have to share.
void add_rotations(std::vector<PlannedRow>& rows, const OfflineOptions& options) {
  PlannedRow row = rows.back();
  if (row.adapters.use != AdapterUse::distinct) return;
  for (const std::int32_t count : options.registered) {
    if (count >= row.batch) continue;
    row.adapters.registered = count;
    rows.push_back(row);
  }
}

// Final length of one of its sequences.
std::int32_t sequence_tokens(const OfflineOptions& options, const PlannedRow& row) {
  switch (row.kind) {
    case OfflineKind::prefill:
      return row.tokens + 1;
    case OfflineKind::decode:
      return prompt_tokens_for(options, row.tokens) + generated_tokens(options);
    case OfflineKind::requests:
      return row.tokens + options.request_output_tokens;
  }
  fail_check("expected a known kind of row", std::source_location::current());
}

bool is_left_out(const OfflineOptions& options, const PlannedRow& row) {
  return row.kind == OfflineKind::decode && std::int64_t{row.batch} * row.tokens > options.context_tokens_max;
}

// All rows, including the skipped ones.
std::vector<PlannedRow> all_rows(const OfflineOptions& options) {
  std::vector<PlannedRow> rows;
  for (const AdapterSetting& setting : settings_of(options)) {
    // For a single sequence, shared and distinct adapters are the same row.
    const bool is_twin = setting.use == AdapterUse::distinct && has(options, AdapterUse::shared);
    for (const std::int32_t prompt : options.prompts) {
      if (!is_twin) rows.push_back({OfflineKind::prefill, setting, 1, prompt});
    }
    for (const std::int32_t context : options.contexts) {
      for (const std::int32_t batch : options.batches) {
        if (is_twin && batch == 1) continue;
        rows.push_back({OfflineKind::decode, setting, batch, context});
        add_rotations(rows, options);
      }
    }
    add_lists(rows, options, setting);
  }
  return rows;
}

std::uint64_t adapter_bytes(const PlannedRow& row, const ModelConfig& config) {
  const AdapterSetting& setting = row.adapters;
  const std::int32_t count = setting.count_in(row.batch);
  std::uint64_t bytes = 0;
  for (std::int32_t i = 0; i < count; ++i) bytes += sizeof(float) * parameter_count(config, setting.kind.targets, setting.kind.rank_of(i));
  return bytes;
}

}  // namespace

std::int32_t AdapterSetting::count_in(std::int32_t batch) const {
  if (use == AdapterUse::none) return 0;
  if (use == AdapterUse::shared) return 1;
  return registered > 0 ? std::min(registered, batch) : batch;
}

std::int32_t AdapterSetting::sequences_of(std::int32_t index, std::int32_t batch) const {
  const std::int32_t count = count_in(batch);
  return batch / count + (index < batch % count ? 1 : 0);
}

std::string AdapterSetting::adapter_of(std::int64_t sequence_index) const {
  if (use == AdapterUse::none) return {};
  if (use == AdapterUse::shared) return RandomAdapters::adapter_name(kind, 0);
  return RandomAdapters::adapter_name(kind, static_cast<std::int32_t>(registered > 0 ? sequence_index % registered : sequence_index));
}

std::string name_of(const AdapterSetting& setting) {
  if (setting.use == AdapterUse::none) return "base";
  if (setting.use == AdapterUse::shared) return "one " + name_of(setting.kind);
  return setting.registered > 0 ? fmt::format("{} {}", setting.registered, name_of(setting.kind)) : "each " + name_of(setting.kind);
}

std::vector<PlannedRow> plan_rows(const OfflineOptions& options) {
  std::vector<PlannedRow> rows = all_rows(options);
  std::erase_if(rows, [&](const PlannedRow& row) { return is_left_out(options, row); });
  return rows;
}

std::string left_out_text(const OfflineOptions& options) {
  std::size_t count = 0;
  std::vector<std::string> shapes;  // once each, for any number of adapters
  for (const PlannedRow& row : all_rows(options)) {
    if (!is_left_out(options, row)) continue;
    ++count;
    std::string shape = fmt::format("decode {} x {}", row.batch, row.tokens);
    if (std::ranges::find(shapes, shape) == shapes.end()) shapes.push_back(std::move(shape));
  }
  if (count == 0) return {};
  return fmt::format("left out: {} rows that hold more than --context-tokens {}: {}", count, options.context_tokens_max,
                     fmt::join(shapes, ", "));
}

std::int32_t measured_tokens(const OfflineOptions& options) { return options.repeats * options.steps; }

std::int32_t generated_tokens(const OfflineOptions& options) { return kFirstSteps + measured_tokens(options) + kSpareSteps; }

std::int32_t prompt_tokens_for(const OfflineOptions& options, std::int32_t context) {
  return std::max(2, context - measured_tokens(options) / 2 - kFirstSteps);
}

std::int32_t longest_sequence(const OfflineOptions& options) {
  std::int32_t longest = 2;
  for (const PlannedRow& row : plan_rows(options)) longest = std::max(longest, sequence_tokens(options, row));
  return longest;
}

std::string longest_sequence_text(const OfflineOptions& options) {
  const std::vector<PlannedRow> rows = plan_rows(options);
  check(!rows.empty(), "expected a planned row");
  const PlannedRow& row = *std::ranges::max_element(rows, {}, [&](const PlannedRow& planned) { return sequence_tokens(options, planned); });
  const std::int32_t tokens = sequence_tokens(options, row);
  switch (row.kind) {
    case OfflineKind::prefill:
      return fmt::format("--prompt {}: sequences of {} tokens", row.tokens, tokens);
    case OfflineKind::decode:
      return fmt::format("--context {} with --repeats {} and --steps {}: sequences of {} tokens", row.tokens, options.repeats,
                         options.steps, tokens);
    case OfflineKind::requests:
      return fmt::format("--request-prompt {} and --request-output {}: sequences of {} tokens", row.tokens, options.request_output_tokens,
                         tokens);
  }
  fail_check("expected a known kind of row", std::source_location::current());
}

std::uint64_t pool_bytes_for(const OfflineOptions& options, const ModelConfig& config, DType kv_dtype) {
  const KvGeometry kv = make_kv_geometry(config, kv_dtype, default_page_tokens(config, kv_dtype));
  std::uint64_t most = 0;
  for (const PlannedRow& row : plan_rows(options)) {
    const auto pages = static_cast<std::uint64_t>(sequence_tokens(options, row) / kv.page_tokens + 2);
    most = std::max(most, static_cast<std::uint64_t>(row.batch) * pages * kv.page_bytes() + adapter_bytes(row, config));
  }
  return most + most / 8 + kSpareBytes;
}

}  // namespace slora::bench
