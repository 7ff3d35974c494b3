#include "adapters/replaced_rows.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "adapters/target_modules.h"
#include "adapters/tensor_groups.h"
#include "adapters/tensor_names.h"
#include "base/check.h"
#include "formats/json.h"
#include "ops/adapter_format.h"

namespace slora {
namespace {

constexpr std::size_t kListedMax = 8192;  // more rows are stored as the whole weight, whose list would not fit small pages

// Numbers of rows.
class RowList final : public DerivedTensor {
 public:
  RowList(const std::string& tensor, std::vector<std::int64_t> rows)
      : DerivedTensor(tensor + " (rows)", {static_cast<std::int64_t>(rows.size())}), rows_(std::move(rows)) {}
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& /*file*/, std::int64_t, std::int64_t, Gate&) const override {
    std::ranges::copy(rows_, out);
    return {};
  }

 private:
  const std::vector<std::int64_t> rows_;
};

// Rows of a saved weight and of a tensor of trained tokens, in any order.
class ChosenRows final : public DerivedTensor {
 public:
  struct Row {
    const TensorInfo* tensor;  // one of the two below, whose copies are read
    std::int64_t index;
  };
  // Either tensor may be null.
  ChosenRows(const TensorInfo* saved, const TensorInfo* trained, std::span<const Row> rows)
      : DerivedTensor(rows.front().tensor->name, {static_cast<std::int64_t>(rows.size()), rows.front().tensor->shape[1]},
                      names_of({saved, trained})) {
    if (saved != nullptr) tensors_[0] = *saved;
    if (trained != nullptr) tensors_[1] = *trained;
    for (const Row& row : rows) rows_.push_back({row.tensor == trained, row.index});
  }
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& /*gate*/) const override {
    for (std::int64_t row = row_begin; row < row_begin + row_count; ++row) {
      const auto& [is_trained, index] = rows_[static_cast<std::size_t>(row)];
      const Result<std::vector<float>> values = read_rows(file, tensors_[is_trained ? 1 : 0], index, 1);
      if (!values) return tl::unexpected(values.error());
      out = std::ranges::copy(*values, out).out;
    }
    return {};
  }

 private:
  static std::vector<std::string> names_of(std::array<const TensorInfo*, 2> tensors) {
    std::vector<std::string> names;
    for (const TensorInfo* tensor : tensors) {
      if (tensor != nullptr) names.push_back(tensor->name);
    }
    return names;
  }

  std::array<TensorInfo, 2> tensors_;                // the saved weight and the trained tokens
  std::vector<std::pair<bool, std::int64_t>> rows_;  // whether of trained tokens, and which
};

// Of the base's rows, those that differ in a tensor of the file. Requires: it has as many rows or more, of as many columns.
Result<std::vector<std::int64_t>> changed_rows(const SafetensorsFile& file, const TensorInfo& tensor, const ModelFiles& base,
                                               const ModelTensor& of_base, Gate* gate) {
  constexpr std::int64_t kElements = 1 << 20;  // that are read at a time
  const std::int64_t rows = of_base.info.shape[0], cols = tensor.shape[1];
  const std::int64_t chunk_rows = std::max<std::int64_t>(1, kElements / cols);
  const std::size_t element_bytes = bytes_of(of_base.info.dtype);
  std::vector<std::int64_t> changed;
  std::vector<std::byte> bytes;
  std::vector<float> own, rounded;  // the base's rows, and rounded to the type of the file, as training in another type copies them
  for (std::int64_t begin = 0; begin < rows; begin += chunk_rows) {
    const std::int64_t count = std::min(chunk_rows, rows - begin);
    if (gate != nullptr && !gate->pass([] {})) return error("E_READ", "{}: reading it took too long", file.name());
    const Result<std::vector<float>> values = read_rows(file, tensor, begin, count);
    if (!values) return tl::unexpected(values.error());
    bytes.resize(static_cast<std::size_t>(count * cols) * element_bytes);
    own.resize(static_cast<std::size_t>(count * cols));
    if (Status read = base.read_part(of_base, static_cast<std::uint64_t>(begin * cols) * element_bytes, bytes); !read)
      return forward_error(read);
    convert_to_float(own.data(), bytes.data(), of_base.info.dtype, own.size());
    bytes.resize(own.size() * bytes_of(tensor.dtype));
    rounded.resize(own.size());
    convert_from_float(bytes.data(), tensor.dtype, own.data(), own.size());
    convert_to_float(rounded.data(), bytes.data(), tensor.dtype, rounded.size());
    for (std::int64_t row = 0; row < count; ++row) {
      const auto is_same = [&](const std::vector<float>& numbers) {
        return std::equal(numbers.begin() + row * cols, numbers.begin() + (row + 1) * cols, values->begin() + row * cols);
      };
      if (!is_same(own) && !is_same(rounded)) changed.push_back(begin + row);
    }
  }
  return changed;
}

// The weight of the embedding or the head.
struct TokenWeight {
  bool is_head = false;
  std::int64_t columns = 0;
  const std::string* stored_as = nullptr;
};

class RowFinder {
 public:
  RowFinder(AdapterModules& found, std::span<const TensorInfo> tensors, const FamilyContext& context)
      : found_(found), tensors_(tensors), context_(context) {}

  // Replaces the module's parts of rows by what is stored of them: of `saved`, a weight of all tokens, what differs from the base's, where
  // there is a base to compare with; of `trained`, which takes precedence, the rows of `tokens`. Either tensor may be null.
  Status replace(AdapterModule& module, const TensorInfo* saved, const TensorInfo* trained, std::span<const TokenId> tokens) {
    std::erase_if(module.parts, [](const AdapterPart& part) { return part.kind == PartKind::rows; });
    std::erase_if(module.pieces, [](const PartPiece& piece) { return piece.kind == PartKind::rows; });
    const std::optional<TokenWeight> weight = weight_of(module.path);
    if (!weight) {  // no base, or another module, which is refused with all that it does not have
      add_part(module, PartKind::rows, source_of(saved != nullptr ? saved : trained));
      return {};
    }
    Result<Rows> rows = rows_of(*weight, saved, trained, tokens);
    if (!rows) return forward_error(rows);
    const auto first_added = rows->lower_bound(context_.modules->vocab_size);
    const std::vector<ChosenRows::Row> added = chosen(first_added, rows->end());
    module.added_count = std::ssize(added);
    if (weight->is_head) rows->erase(first_added, rows->end());
    const std::int64_t all = context_.modules->vocab_size + (weight->is_head ? 0 : module.added_count);
    const bool is_listed = saved == nullptr || (rows->size() <= kListedMax && std::cmp_less(rows->size(), all));
    if (is_listed) {
      add_listed(module, *rows, saved, trained);
    } else {
      add_all(module, *rows, saved, trained, all);
    }
    if (weight->is_head && !added.empty())
      add_part(module, PartKind::added_rows, derive(std::make_shared<ChosenRows>(saved, trained, added)));
    return {};
  }

 private:
  using Rows = std::map<std::int64_t, ChosenRows::Row>;  // by token

  [[nodiscard]] std::optional<TokenWeight> weight_of(std::string_view path) const {
    if (context_.modules == nullptr) return std::nullopt;
    if (const OtherModule* other = context_.modules->find_other(path); other != nullptr)
      return other->site == kEmbeddingSite ? std::optional(TokenWeight{false, other->columns, &other->stored_as}) : std::nullopt;
    const ModuleEntry* const entry = context_.modules->find(path);
    if (entry == nullptr || entry->site != kHeadSite) return std::nullopt;
    return TokenWeight{true, entry->in, &entry->stored_as};
  }

  Result<Rows> rows_of(const TokenWeight& weight, const TensorInfo* saved, const TensorInfo* trained,
                       std::span<const TokenId> tokens) const {
    const std::int64_t known = context_.modules->vocab_size;
    Rows rows;
    if (saved != nullptr) {
      if (saved->shape[0] < known || saved->shape[1] != weight.columns) {
        return error("E_SHAPE", "tensor {}: expected [{}, {}], as the base has, found {}", quote(saved->name), known, weight.columns,
                     shape_of(*saved));
      }
      if (saved->shape[0] - known > kAddedTokensMax) {
        return error("E_VOCAB", "tensor {}: expected at most {} tokens more than the base's vocabulary of {}, found {}", quote(saved->name),
                     kAddedTokensMax, known, shape_of(*saved));
      }
      const Result<std::shared_ptr<const std::vector<std::int64_t>>> changed = changed_rows_of(weight, *saved);
      if (!changed) return tl::unexpected(changed.error());
      const auto add = [&](std::int64_t row) { rows.emplace_hint(rows.end(), row, ChosenRows::Row{saved, row}); };
      if (*changed != nullptr) std::ranges::for_each(**changed, add);
      for (std::int64_t row = *changed != nullptr ? known : 0; row < saved->shape[0]; ++row) add(row);
    }
    const auto beyond = std::ranges::find_if(tokens, [&](TokenId token) { return saved != nullptr && token >= saved->shape[0]; });
    if (beyond != tokens.end()) {
      return error("E_INDEX", "tensor {}: expected trained tokens below its {} rows, found {}", quote(saved->name), saved->shape[0],
                   *beyond);
    }
    for (std::size_t i = 0; i < tokens.size(); ++i)
      rows.insert_or_assign(tokens[i], ChosenRows::Row{trained, static_cast<std::int64_t>(i)});
    if (Status fits = check_added(rows); !fits) return forward_error(fits);
    return rows;
  }

  // Of the base's tokens. Null where they are too many to be listed, or there is nothing to compare with.
  [[nodiscard]] Result<std::shared_ptr<const std::vector<std::int64_t>>> changed_rows_of(const TokenWeight& weight,
                                                                                         const TensorInfo& saved) const {
    if (context_.weights == nullptr || context_.file == nullptr) return nullptr;
    if (context_.changed_rows != nullptr) {
      if (const auto known = context_.changed_rows->find(saved.name); known != context_.changed_rows->end()) return known->second;
    }
    const ModelTensor* const of_base = context_.weights->find(*weight.stored_as + ".weight");
    check(of_base != nullptr && of_base->info.shape[1] == weight.columns, "expected the base to have the weight");
    Result<std::vector<std::int64_t>> rows = changed_rows(*context_.file, saved, *context_.weights, *of_base, context_.gate);
    if (!rows) return forward_error(rows);
    std::shared_ptr<const std::vector<std::int64_t>> list;
    if (rows->size() <= kListedMax) list = std::make_shared<const std::vector<std::int64_t>>(*std::move(rows));
    if (context_.changed_rows != nullptr) context_.changed_rows->emplace(saved.name, list);
    return list;
  }

  // Whether the tokens after the base's have no gap.
  [[nodiscard]] Status check_added(const Rows& rows) const {
    const std::int64_t known = context_.modules->vocab_size;
    std::int64_t expected = known;
    for (auto at = rows.lower_bound(known); at != rows.end(); ++at, ++expected) {
      if (at->first == expected) continue;
      return error(
          "E_INDEX",
          "\"trainable_token_indices\": expected tokens below {}, the base's vocabulary, or all from there on, found {} without {}", known,
          at->first, expected);
    }
    if (expected - known <= kAddedTokensMax) return {};
    return error("E_VOCAB", "expected at most {} tokens more than the base's vocabulary of {}, found {}", kAddedTokensMax, known,
                 expected - known);
  }

  static std::vector<ChosenRows::Row> chosen(Rows::const_iterator begin, Rows::const_iterator end) {
    std::vector<ChosenRows::Row> rows;
    std::transform(begin, end, std::back_inserter(rows), [](const auto& row) { return row.second; });
    return rows;
  }

  void add_listed(AdapterModule& module, const Rows& rows, const TensorInfo* saved, const TensorInfo* trained) {
    module.row_count = std::ssize(rows);
    if (rows.empty()) return;
    std::vector<std::int64_t> tokens;
    std::ranges::transform(rows, std::back_inserter(tokens), [](const auto& row) { return row.first; });
    const std::string& name = rows.begin()->second.tensor->name;
    add_part(module, PartKind::rows, derive(std::make_shared<ChosenRows>(saved, trained, chosen(rows.begin(), rows.end()))));
    add_part(module, PartKind::row_ids, derive(std::make_shared<RowList>(name, std::move(tokens))));
  }

  // The whole weight, of `count` tokens.
  void add_all(AdapterModule& module, Rows& rows, const TensorInfo* saved, const TensorInfo* trained, std::int64_t count) {
    module.row_count = count;
    if (trained == nullptr) return add_part(module, PartKind::rows, source_of(saved));
    for (std::int64_t row = 0; row < count; ++row) rows.emplace(row, ChosenRows::Row{saved, row});
    add_part(module, PartKind::rows, derive(std::make_shared<ChosenRows>(saved, trained, chosen(rows.begin(), rows.end()))));
  }

  static void add_part(AdapterModule& module, PartKind kind, SourceTensor source) {
    module.parts.push_back({.kind = kind, .source = source, .slice = {}, .stored = {}});
  }
  [[nodiscard]] SourceTensor source_of(const TensorInfo* tensor) const { return {static_cast<std::uint32_t>(tensor - tensors_.data())}; }
  SourceTensor derive(std::shared_ptr<const DerivedTensor> tensor) { return found_.derive(tensors_.size(), std::move(tensor)); }

  AdapterModules& found_;
  const std::span<const TensorInfo> tensors_;
  const FamilyContext& context_;
};

// The embedding's name where the module is a head that the base ties to it; else the module's.
std::string_view name_of_list(std::string_view path, const ModuleTable* base) {
  if (base == nullptr || !base->ties_embeddings || path != base->modules.back().path) return path;
  const auto embedding = std::ranges::find(base->others, kEmbeddingSite, &OtherModule::site);
  return embedding != base->others.end() ? std::string_view(embedding->path) : path;
}

// The tokens that the config lists for a module whose file has rows of trained ones.
Result<std::span<const TokenId>> tokens_of(const AdapterModule& module, const TensorInfo& trained, const AdapterConfig& config,
                                           const ModuleTable* base) {
  const auto list_of = [&](std::string_view path) -> const std::vector<TokenId>* {
    if (config.family == AdapterFamily::trainable_tokens) return &config.token_indices;
    const auto listed = std::ranges::find_if(config.trained_tokens, [&](const auto& entry) { return ends_with_name(path, entry.first); });
    return listed != config.trained_tokens.end() ? &listed->second : nullptr;
  };
  const std::vector<TokenId>* listed = list_of(module.path);
  if (listed == nullptr) listed = list_of(name_of_list(module.path, base));
  if (listed == nullptr && base == nullptr) return std::span<const TokenId>();  // it may be a tied head
  if (listed == nullptr) {
    return error("E_PAIR", "tensor {}: expected \"trainable_token_indices\" to list its tokens, found none for {}", quote(trained.name),
                 quote(module.path));
  }
  if (module.rank > 0)
    return error("E_UNSUPPORTED_OPTION", "{}: expected trained tokens or another adapter of it, found both", quote(module.path));
  if (std::cmp_not_equal(listed->size(), trained.shape[0])) {
    return error("E_INDEX", "tensor {}: expected {} rows, one for each of the config's tokens, found {}", quote(trained.name),
                 listed->size(), shape_of(trained));
  }
  return std::span<const TokenId>(*listed);
}

// Whether two tensors that PEFT saves of one parameter hold the same.
Status check_same_numbers(const SafetensorsFile& file, const TensorInfo& tensor, const TensorInfo& copy) {
  const Result<std::vector<float>> numbers = read_all(file, tensor), others = read_all(file, copy);
  for (const Result<std::vector<float>>* read : {&numbers, &others}) {
    if (!*read) return tl::unexpected(read->error());
  }
  if (*numbers == *others) return {};
  return error("E_UNSUPPORTED_OPTION", "tensor {}: expected the numbers of {}, as both are one in training, found others", quote(copy.name),
               quote(tensor.name));
}

// Trained tokens of a base with tied embeddings: whether the file has them under the names of both, which must agree.
Result<bool> has_tied_copy(const AdapterModules& found, std::span<const TensorInfo> tensors, const FamilyContext& context) {
  if (context.modules == nullptr || !context.modules->ties_embeddings) return false;
  const TensorInfo *of_head = nullptr, *of_embedding = nullptr;
  for (const AdapterModule& module : found.modules) {
    const TensorInfo* const trained = find_tensor(module, PartKind::rows, kTrainedTokens, tensors);
    if (trained != nullptr) (module.path == context.modules->modules.back().path ? of_head : of_embedding) = trained;
  }
  if (of_head == nullptr) return false;
  if (of_embedding == nullptr || context.file == nullptr) return true;
  if (Status same = check_same_numbers(*context.file, *of_embedding, *of_head); !same) return forward_error(same);
  return true;
}

// Tokens that the config lists and the file has no rows of.
void warn_of_missing_rows(AdapterModules& found, const AdapterConfig& config) {
  for (const auto& [name, tokens] : config.trained_tokens) {
    const auto has_rows = [&](const AdapterModule& module) {
      return (module.find(PartKind::rows) != nullptr || module.added_count > 0) && ends_with_name(module.path, name);
    };
    if (std::ranges::any_of(found.modules, has_rows)) continue;
    found.warnings.push_back(
        fmt::format("trainable_token_indices names {} tokens of {}, but the file holds no rows of them: the base's are used", tokens.size(),
                    quote(name)));
  }
}

}  // namespace

Status find_trained_rows(AdapterModules& found, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                         const FamilyContext& context) {
  Result<bool> has_head = has_tied_copy(found, tensors, context);
  if (!has_head) return forward_error(has_head);
  if (*has_head) {  // one that holds nothing else is the embedding's
    const auto is_copy = [&](const AdapterModule& module) {
      return module.path == context.modules->modules.back().path && module.parts.empty() && module.pieces.size() == 1;
    };
    *has_head = std::erase_if(found.modules, is_copy) == 0;
  }
  RowFinder finder(found, tensors, context);
  std::vector<AdapterModule> of_tied_heads;
  for (AdapterModule& module : found.modules) {
    const TensorInfo* const saved = find_tensor(module, PartKind::rows, 0, tensors);
    const TensorInfo* const trained = find_tensor(module, PartKind::rows, kTrainedTokens, tensors);
    if (saved == nullptr && trained == nullptr) continue;
    Result<std::span<const TokenId>> tokens;
    if (trained != nullptr) tokens = tokens_of(module, *trained, config, context.modules);
    if (!tokens) return forward_error(tokens);
    if (Status replaced = finder.replace(module, saved, trained, *tokens); !replaced) return replaced;
    const bool is_embedding = context.modules != nullptr && context.modules->find_other(module.path) != nullptr;
    if (trained == nullptr || !is_embedding || !context.modules->ties_embeddings || *has_head) continue;
    AdapterModule& head = of_tied_heads.emplace_back();
    head.path = context.modules->modules.back().path;
    head.in_of_rows = module.in_of_rows;
    head.is_saved_weight = true;
    if (saved == nullptr && module.added_count == 0) {  // the very same rows
      head.row_count = module.row_count;
      std::ranges::copy_if(module.parts, std::back_inserter(head.parts),
                           [](const AdapterPart& part) { return part.kind == PartKind::rows || part.kind == PartKind::row_ids; });
    } else if (Status replaced = finder.replace(head, nullptr, trained, *tokens); !replaced) {
      return replaced;
    }
  }
  warn_of_missing_rows(found, config);
  for (AdapterModule& head : of_tied_heads) {
    if (std::ranges::find(found.modules, head.path, &AdapterModule::path) != found.modules.end()) {
      return error("E_UNSUPPORTED_OPTION", "{}: trained tokens of tied embeddings change it too, and the adapter changes it in other ways",
                   quote(head.path));
    }
    found.modules.push_back(std::move(head));
  }
  // One without parts that has sizes is of the family, pruned: it must fit the base all the same.
  std::erase_if(found.modules, [](const AdapterModule& module) { return module.parts.empty() && module.in == 0; });
  return {};
}

}  // namespace slora
