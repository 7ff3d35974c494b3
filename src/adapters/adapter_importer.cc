#include "adapters/adapter_importer.h"

#include <algorithm>
#include <array>
#include <set>
#include <source_location>
#include <string_view>
#include <tuple>
#include <utility>

#include "adapters/target_modules.h"
#include "adapters/tensor_groups.h"
#include "base/check.h"
#include "formats/json.h"

namespace slora {
namespace {

// Levenshtein distance, for suggestions in messages.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);  // [b.size() + 1]: distance between the first i characters of a and the first j of b
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// Whether one path is the other with a prefix.
bool differs_by_prefix(std::string_view a, std::string_view b) {
  if (a.size() < b.size()) std::swap(a, b);
  return a.size() > b.size() && a.ends_with(b) && a[a.size() - b.size() - 1] == '.';
}

tl::unexpected<Error> refuse_unknown_module(std::string_view path, const ModuleTable& base) {
  std::vector<std::string_view> known;
  for (const ModuleEntry& entry : base.modules) {
    if (entry.site.expert <= 1) known.push_back(entry.path);  // those of further experts differ by a number only
  }
  for (const OtherModule& other : base.others) known.push_back(other.path);
  check(!known.empty(), "expected a base with modules");
  const auto same = std::ranges::find_if(known, [&](std::string_view other) { return differs_by_prefix(path, other); });
  if (same != known.end())
    return error("E_UNKNOWN_MODULE", "the base has no module {}; it has \"{}\": the prefix differs", quote(path), *same);
  const auto nearest = std::ranges::min_element(known, {}, [&](std::string_view other) { return edit_distance(path, other); });
  return error("E_UNKNOWN_MODULE", "the base has no module {}; the nearest in its {} layers is \"{}\"", quote(path), base.layer_count,
               *nearest);
}

// Of files that have one module under two of the names that it goes by.
tl::unexpected<Error> refuse_twice(std::string_view path, std::string_view canonical) {
  return error("E_PAIR", "{}: expected the base's module {} once, found it under another name too", quote(path), quote(canonical));
}

// A repository's name ("org/model"), or the last folder of a path: messages go to clients, and where the trainer kept it is not theirs.
std::string base_name(const AdapterConfig& config) {
  std::string_view name = config.base_model_name;
  while (name.ends_with('/') || name.ends_with('\\')) name.remove_suffix(1);
  const bool is_path = name.starts_with('/') || name.starts_with('.') || name.starts_with('~') ||
                       name.find('\\') != std::string_view::npos || std::ranges::count(name, '/') > 1;
  if (is_path) name = name.substr(name.find_last_of("/\\") + 1);
  return name.empty() ? "another base" : quote(name);
}

// Modules of the base that the config selects and the file has no weights for, though it has such modules of other layers.
void warn_of_missing_modules(AdapterPlan& plan, const AdapterModules& lora, const AdapterConfig& config, const ModuleTable& base) {
  std::set<std::string_view> present;
  std::set<std::string_view> kinds;  // last components of those that the file has
  for (const AdapterModule& module : lora.modules) {
    const ModuleEntry* const entry = base.find(module.path);
    present.insert(entry != nullptr ? std::string_view(entry->path) : std::string_view(module.path));
    kinds.insert(std::string_view(module.path).substr(module.path.rfind('.') + 1));
  }
  const TargetModules targets(config);
  std::size_t missing_count = 0;
  std::string_view first;
  for (const ModuleEntry& entry : base.modules) {
    const std::string_view kind = std::string_view(entry.path).substr(entry.path.rfind('.') + 1);
    if (present.contains(entry.path) || !kinds.contains(kind) || targets.selects(entry.path) != true) continue;
    if (missing_count++ == 0) first = entry.path;
  }
  if (missing_count == 0) return;
  plan.warnings.push_back(fmt::format(
      "adapter_config.json names {} modules for which the file holds no weights ({}{}): the base is used there, as in PEFT, which "
      "warns of missing keys",
      missing_count, first, missing_count > 1 ? ", ..." : ""));
}

// A size that the file does not tell agrees with any.
bool agrees(std::int64_t found, std::int64_t expected) { return found == 0 || found == expected; }
bool agrees(const AdapterModule& module, const ModuleEntry& entry) { return agrees(module.out, entry.out) && agrees(module.in, entry.in); }

// "64 inputs and 48 outputs", as far as the file tells.
std::string shown_sizes(const AdapterModule& module) {
  if (module.in == 0) return fmt::format("{} outputs", module.out);
  if (module.out == 0) return fmt::format("{} inputs", module.in);
  return fmt::format("{} inputs and {} outputs", module.in, module.out);
}

// Refuses an adapter of which no changed module that the base has agrees with its shape there.
Status check_any_shape(const AdapterModules& lora, const AdapterConfig& config, const ModuleTable& base) {
  const AdapterModule* first = nullptr;
  const ModuleEntry* first_entry = nullptr;
  for (const AdapterModule& module : lora.modules) {
    const ModuleEntry* entry = base.find(module.path);
    if (entry == nullptr || has_only_saved(module)) continue;
    if (agrees(module, *entry)) return {};
    const bool tells_hidden = entry->in == base.hidden_size && !agrees(module.in, entry->in);
    if (first == nullptr || (tells_hidden && first_entry->in != base.hidden_size)) {
      first = &module;
      first_entry = entry;
    }
  }
  if (first == nullptr) return {};
  if (first_entry->in == base.hidden_size && !agrees(first->in, first_entry->in)) {
    return error("E_WRONG_BASE", "trained for {} with hidden size {}; this base has {} ({}: expected {} inputs, found {})",
                 base_name(config), first->in, base.hidden_size, first->path, first_entry->in, first->in);
  }
  return error("E_WRONG_BASE", "trained for {}; no module has the shape it has here ({}: expected {} inputs and {} outputs, found {})",
               base_name(config), first->path, first_entry->in, first_entry->out, shown_sizes(*first));
}

Status check_shape(const AdapterModule& module, const ModuleEntry& entry, const AdapterConfig& config) {
  if (!agrees(module.in, entry.in)) {
    return error("E_SHAPE", "{}: expected {} inputs, as the base's module has, found {}; trained for {}", module.path, entry.in, module.in,
                 base_name(config));
  }
  const bool has_outputs = module.rank > 0 || module.row_count == 0 || module.find(PartKind::bias_replacing) != nullptr;
  if (has_outputs && !agrees(module.out, entry.out)) {
    return error("E_SHAPE", "{}: expected {} outputs, as the base's module has, found {}; trained for {}", module.path, entry.out,
                 module.out, base_name(config));
  }
  if (module.find(PartKind::bias_replacing) != nullptr && !entry.has_bias) {
    return error("E_SHAPE", "{}: expected no bias, as the base's module has none, found one; trained for {}", module.path,
                 base_name(config));
  }
  return {};
}

// Rows of a weight that replace the base's: of the head only, since what a layer's product needs besides is not built.
Status check_rows(const AdapterModule& module, const ModuleEntry& entry) {
  if (module.saves_gain) return error("E_SHAPE", "{}: expected a weight of two dimensions, found a vector", quote(module.path));
  if (module.embedding_part_count > 0)
    return error("E_UNKNOWN_TENSOR", "{}: expected lora_A and lora_B, as it is a linear module, found lora_embedding_A or B",
                 quote(module.path));
  if (module.row_count == 0 && module.added_count == 0) return {};
  if (entry.site != kHeadSite) {
    return error("E_UNSUPPORTED_OPTION", "{}.weight replaces the base's (modules_to_save): only the embedding's, the head's and norms' may",
                 module.path);
  }
  if (!has_only_saved(module)) {
    return error("E_UNSUPPORTED_OPTION",
                 "{}: expected its saved copy of the base's weight to equal the base's, as the adapter changes it in other ways too; save "
                 "with save_embedding_layers=False to leave it out",
                 module.path);
  }
  if (module.in_of_rows != entry.in) {
    return error("E_SHAPE", "{}.weight: expected {} columns, the base's inputs, found {}", module.path, entry.in, module.in_of_rows);
  }
  if (module.row_count > 0 && module.find(PartKind::row_ids) == nullptr && module.row_count != entry.out) {
    return error("E_SHAPE", "{}.weight: expected {} rows, the base's outputs, found {}", module.path, entry.out, module.row_count);
  }
  return {};
}

// Takes the number of tokens that the adapter adds. E_VOCAB
Status take_added_tokens(AdapterPlan& plan, const AdapterModules& found, const ModuleTable& base) {
  std::int64_t read = 0, drawn = 0;  // that the embedding and the head have rows of
  for (const AdapterModule& module : found.modules) {
    std::int64_t& count = base.find(module.path) != nullptr ? drawn : read;
    count = std::max(count, module.added_count);
  }
  if (drawn > read) {
    return error("E_VOCAB", "expected the embedding to have rows of all tokens that the head has, found {} and {} beyond the base's {}",
                 read, drawn, base.vocab_size);
  }
  if (drawn < read) {
    plan.warnings.push_back(fmt::format(
        "the embedding has rows of {} tokens beyond the base's {}, and the head of {}: prompts may have the others, answers never will",
        read, base.vocab_size, drawn));
  }
  plan.added_tokens = static_cast<std::int32_t>(read);
  return {};
}

// PEFT applies saved weights and trained tokens to every token, also to those before the invocation.
Status check_activated(const AdapterPlan& plan, const AdapterConfig& config) {
  const auto acts_everywhere = [](const AdapterRecord& record) {
    return record.module == kNoModule || record.find(PartKind::rows) != nullptr;
  };
  if (config.invocation_tokens.empty() || std::ranges::none_of(plan.records, acts_everywhere)) return {};
  return error("E_UNSUPPORTED_OPTION",
               "\"alora_invocation_tokens\": expected an adapter of linear modules only, since other weights would act on every token");
}

// With bias = "all" PEFT writes every bias of the base: a missing one was lost.
Status check_all_biases(const AdapterModules& lora, const ModuleTable& base) {
  for (const ModuleEntry& entry : base.modules) {
    if (!entry.has_bias) continue;
    const auto at = std::ranges::find(lora.modules, entry.path, &AdapterModule::path);
    if (at == lora.modules.end() || at->find(PartKind::bias_replacing) == nullptr) {
      return error("E_PAIR", "{}: expected a stored bias, as bias is \"all\", found none", entry.path);
    }
  }
  return {};
}

// The whole tensor of a part.
SourceSlice whole(PartKind kind, const AdapterRecord& record) {
  switch (kind) {
    case PartKind::a:
      return {0, record.rank, 0, record.in};
    case PartKind::b:
      return {0, record.out, 0, record.rank};
    case PartKind::input_gain:
      return {0, 1, 0, record.in};
    case PartKind::rank_gain:
      return {0, 1, 0, record.rank};
    case PartKind::rows:
      return {0, record.out, 0, record.in};
    case PartKind::row_ids:
      return {0, 1, 0, record.out};
    case PartKind::added_rows:
      return {0, 0, 0, record.in};
    case PartKind::row_counts:
      return {0, 1, 0, record.out};
    case PartKind::columns:
    case PartKind::values:
      return {0, 1, 0, 0};
    case PartKind::delta_gain:
    case PartKind::gain:
    case PartKind::bias_added:
    case PartKind::bias_replacing:
      return {0, 1, 0, record.out};
  }
  fail_check("expected a kind of part", std::source_location::current());
}

// As many rows and elements as the adapter has.
void take_counts(AdapterRecord& record, const AdapterModule& module) {
  for (AdapterPart& part : record.parts) {
    if (part.kind == PartKind::rows) part.slice.row_count = static_cast<std::int32_t>(module.row_count);
    if (part.kind == PartKind::added_rows) part.slice.row_count = static_cast<std::int32_t>(module.added_count);
    if (part.kind == PartKind::row_ids) part.slice.col_count = static_cast<std::int32_t>(module.row_count);
    if (part.kind == PartKind::columns || part.kind == PartKind::values)
      part.slice.col_count = static_cast<std::int32_t>(module.element_count);
  }
}

AdapterRecord record_of(const AdapterModule& module, const ModuleEntry& entry, std::int32_t module_index) {
  AdapterRecord record{.site = entry.site,
                       .slice_begin = entry.slice_begin,
                       .out = entry.out,
                       .in = entry.in,
                       .rank = static_cast<std::int32_t>(module.rank),
                       .scale = module.scale,
                       .low_rank = module.low_rank,
                       .module = module_index,
                       .shard_elements = module.shard_elements,
                       .parts = module.parts};
  std::ranges::sort(record.parts, {}, &AdapterPart::kind);
  for (AdapterPart& part : record.parts) part.slice = whole(part.kind, record);
  take_counts(record, module);
  return record;
}

Status check_gain(const AdapterModule& module, const OtherModule& norm, const AdapterConfig& config) {
  if (!module.saves_gain || module.parts.size() != 1)
    return error("E_SHAPE", "{}: expected a gain [{}] and nothing else, found other parts of a module", quote(module.path), norm.columns);
  if (module.out == norm.columns) return {};
  return error("E_SHAPE", "{}: expected a gain [{}], as the base has, found [{}]; trained for {}", quote(module.path), norm.columns,
               module.out, base_name(config));
}

Status check_embedding(const AdapterModule& module, const OtherModule& embedding, const AdapterConfig& config) {
  const bool is_lora = module.embedding_part_count == 2 && module.low_rank == LowRank::sum;
  const bool is_dora = is_lora && !module.saves_gain && module.row_count == 0;  // its norms are those of the base's rows
  const auto is_served = [&](const AdapterPart& part) {
    constexpr std::array kParts = {PartKind::a, PartKind::b, PartKind::rows, PartKind::row_ids};
    return std::ranges::find(kParts, part.kind) != kParts.end() || (is_dora && part.kind == PartKind::gain);
  };
  if ((module.rank > 0 && !is_lora) || !std::ranges::all_of(module.parts, is_served)) {
    return error("E_UNSUPPORTED_OPTION",
                 "{}: expected rows [{}, {}] or LoRA of them (lora_embedding_A, lora_embedding_B), found other parts", quote(module.path),
                 embedding.rows, embedding.columns);
  }
  if (module.row_count > 0 && module.find(PartKind::row_ids) == nullptr && module.row_count < embedding.rows) {
    return error("E_SHAPE", "{}: expected {} rows, as the base has, found {}; trained for {}", quote(module.path), embedding.rows,
                 module.row_count, base_name(config));
  }
  if (module.row_count > 0 && module.in_of_rows != embedding.columns) {
    return error("E_SHAPE", "{}: expected rows of {} numbers, as the base has, found {}; trained for {}", quote(module.path),
                 embedding.columns, module.in_of_rows, base_name(config));
  }
  if (module.rank == 0 || (module.in == embedding.rows + module.added_count && module.out == embedding.columns)) return {};
  return error("E_SHAPE", "{}: expected lora_embedding_A [rank, {}] and B [{}, rank], found {} and {}; trained for {}", quote(module.path),
               embedding.rows, embedding.columns, module.in, module.out, base_name(config));
}

// Of a norm or the embedding.
Result<AdapterRecord> record_of(const AdapterModule& module, const OtherModule& other, const AdapterConfig& config, float gain_offset) {
  const auto check = is_norm(other.site.kind) ? check_gain : check_embedding;
  if (Status status = check(module, other, config); !status) return forward_error(status);
  AdapterRecord record{.site = other.site,
                       .out = other.columns,
                       .in = other.rows + static_cast<std::int32_t>(module.added_count),
                       .rank = static_cast<std::int32_t>(module.rank),
                       .scale = module.scale,
                       .module = kNoModule,
                       .parts = module.parts};
  std::ranges::sort(record.parts, {}, &AdapterPart::kind);
  for (AdapterPart& part : record.parts)
    part.slice = part.kind == PartKind::rows ? SourceSlice{0, 0, 0, other.columns} : whole(part.kind, record);
  if (is_norm(other.site.kind)) std::ranges::for_each(record.parts, [&](AdapterPart& part) { part.offset = gain_offset; });
  take_counts(record, module);
  return record;
}

// Those of what reads images, which adapters of every linear module have too: no text reaches them.
Status leave_out_image_modules(AdapterModules& lora, const ModuleTable& base) {
  const FamilyTensors& tensors = *traits_of(base.family).tensors;
  const auto count = std::erase_if(lora.modules, [&](const AdapterModule& module) { return tensors.leaves_out(module.path); });
  if (count == 0) return {};
  if (lora.modules.empty())
    return error("E_UNKNOWN_TENSOR", "expected modules of the text model, found {} of what reads images alone", count);
  lora.warnings.push_back(fmt::format("left out {} modules of what reads images, which no text reaches", count));
  return {};
}

}  // namespace

Result<AdapterPlan> import_modules(AdapterModules lora, const AdapterConfig& config, const ModuleTable& base) {
  if (Status left_out = leave_out_image_modules(lora, base); !left_out) return forward_error(left_out);
  if (Status status = check_any_shape(lora, config, base); !status) return forward_error(status);
  AdapterPlan plan;
  std::set<const void*> seen;  // entries of the base
  for (const AdapterModule& module : lora.modules) {
    if (const OtherModule* other = base.find_other(module.path); other != nullptr) {
      if (!seen.insert(other).second) return refuse_twice(module.path, other->path);
      Result<AdapterRecord> record = record_of(module, *other, config, traits_of(base.family).gain_offset);
      if (!record) return forward_error(record);
      plan.records.push_back(std::move(*record));
      continue;
    }
    const ModuleEntry* entry = base.find(module.path);
    if (entry == nullptr) return refuse_unknown_module(module.path, base);
    if (!seen.insert(entry).second) return refuse_twice(module.path, entry->path);
    if (Status status = check_rows(module, *entry); !status) return forward_error(status);
    if (Status status = check_shape(module, *entry, config); !status) return forward_error(status);
    if (module.parts.empty()) continue;  // changes nothing
    plan.records.push_back(record_of(module, *entry, static_cast<std::int32_t>(entry - base.modules.data())));
  }
  if (Status status = check_activated(plan, config); !status) return forward_error(status);
  if (config.bias == AdapterBias::all) {
    if (Status status = check_all_biases(lora, base); !status) return forward_error(status);
  }
  std::ranges::sort(plan.records, {}, [](const AdapterRecord& record) { return std::make_tuple(record.site, record.slice_begin); });
  plan.derived = std::move(lora.derived);
  plan.warnings = std::move(lora.warnings);
  if (Status added = take_added_tokens(plan, lora, base); !added) return forward_error(added);
  warn_of_missing_modules(plan, lora, config, base);
  return plan;
}

}  // namespace slora
