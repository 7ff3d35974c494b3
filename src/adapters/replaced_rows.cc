#include "adapters/replaced_rows.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "adapters/target_modules.h"
#include "adapters/tensor_names.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::string_view kTokenRows = "trainable_tokens_delta";
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

// Some rows of a tensor of the file.
class SomeRows final : public DerivedTensor {
 public:
  SomeRows(TensorInfo tensor, std::vector<std::int64_t> rows)
      : DerivedTensor(tensor.name, {static_cast<std::int64_t>(rows.size()), tensor.shape[1]}, {tensor.name}),
        tensor_(std::move(tensor)),
        rows_(std::move(rows)) {}
  [[nodiscard]] Status compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count,
                               Gate& /*gate*/) const override {
    for (std::int64_t row = row_begin; row < row_begin + row_count; ++row) {
      const Result<std::vector<float>> values = read_rows(file, tensor_, rows_[static_cast<std::size_t>(row)], 1);
      if (!values) return tl::unexpected(values.error());
      out = std::ranges::copy(*values, out).out;
    }
    return {};
  }

 private:
  const TensorInfo tensor_;
  const std::vector<std::int64_t> rows_;
};

// Rows of a tensor of the file that differ from the base's. Requires: equal shapes.
Result<std::vector<std::int64_t>> changed_rows(const SafetensorsFile& file, const TensorInfo& tensor, const ModelFiles& base,
                                               const ModelTensor& of_base) {
  constexpr std::int64_t kElements = 1 << 20;  // that are read at a time
  const std::int64_t rows = tensor.shape[0], cols = tensor.shape[1];
  const std::int64_t chunk_rows = std::max<std::int64_t>(1, kElements / cols);
  const std::size_t element_bytes = bytes_of(of_base.info.dtype);
  std::vector<std::int64_t> changed;
  std::vector<std::byte> bytes;
  std::vector<float> own, rounded;  // the base's rows, and rounded to the type of the file, as training in another type copies them
  for (std::int64_t begin = 0; begin < rows; begin += chunk_rows) {
    const std::int64_t count = std::min(chunk_rows, rows - begin);
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

class RowFinder {
 public:
  RowFinder(AdapterModules& found, std::span<const TensorInfo> tensors, const FamilyContext& context)
      : found_(found), tensors_(tensors), context_(context) {}

  // A weight of all tokens. Only what differs from the base's is kept, where there is a base to compare with.
  Status take_whole(AdapterModule& module, std::vector<AdapterPart>::iterator part) {
    const TensorInfo& tensor = tensors_[part->source.value];
    const std::string* const stored_as = stored_as_of(module.path);
    if (stored_as == nullptr || context_.weights == nullptr || context_.file == nullptr) return {};
    const ModelTensor* const of_base = context_.weights->find(*stored_as + ".weight");
    if (of_base == nullptr) return {};
    if (tensor.shape[0] > of_base->info.shape[0]) {
      return error("E_VOCAB", "tensor {}: expected at most {} rows, the base's vocabulary, found {}; a grown vocabulary is not served",
                   quote(tensor.name), of_base->info.shape[0], shape_of(tensor));
    }
    if (tensor.shape != of_base->info.shape) {
      return error("E_SHAPE", "tensor {}: expected [{}], as the base has, found {}", quote(tensor.name),
                   fmt::join(of_base->info.shape, ", "), shape_of(tensor));
    }
    const Result<std::shared_ptr<const std::vector<std::int64_t>>> found = find_changed(tensor, *of_base);
    if (!found) return tl::unexpected(found.error());
    const std::vector<std::int64_t>* const changed = found->get();
    if (changed == nullptr) return {};
    if (changed->empty()) {
      module.parts.erase(part);
      module.row_count = module.in_of_rows = 0;
    } else {
      module.row_count = static_cast<std::int64_t>(changed->size());
      part->source = add(std::make_shared<SomeRows>(tensor, *changed));
      add_list(module, tensor.name, *changed);
    }
    return {};
  }

  // Rows of tokens that the config lists.
  Status take_listed(AdapterModule& module, const TensorInfo& tensor, std::span<const TokenId> tokens) {
    if (module.rank > 0) {
      return error("E_UNSUPPORTED_OPTION", "{}: expected trained tokens or another adapter of it, found both", quote(module.path));
    }
    if (std::cmp_not_equal(tokens.size(), module.row_count)) {
      return error("E_INDEX", "tensor {}: expected {} rows, one for each of the config's tokens, found {}", quote(tensor.name),
                   tokens.size(), shape_of(tensor));
    }
    if (context_.modules != nullptr) {
      const auto unknown = std::ranges::find_if(tokens, [&](TokenId token) { return token >= context_.modules->vocab_size; });
      if (unknown != tokens.end()) {
        return error("E_INDEX", "{}: expected tokens below {}, the base's vocabulary, found {}", quote(tensor.name),
                     context_.modules->vocab_size, *unknown);
      }
    }
    add_list(module, tensor.name, {tokens.begin(), tokens.end()});
    return {};
  }

 private:
  // The rows that differ, or null where they are too many to be listed.
  [[nodiscard]] Result<std::shared_ptr<const std::vector<std::int64_t>>> find_changed(const TensorInfo& tensor,
                                                                                      const ModelTensor& of_base) {
    if (context_.changed_rows != nullptr) {
      if (const auto known = context_.changed_rows->find(tensor.name); known != context_.changed_rows->end()) return known->second;
    }
    Result<std::vector<std::int64_t>> rows = changed_rows(*context_.file, tensor, *context_.weights, of_base);
    if (!rows) return forward_error(rows);
    std::shared_ptr<const std::vector<std::int64_t>> list;
    if (rows->size() <= kListedMax) list = std::make_shared<const std::vector<std::int64_t>>(*std::move(rows));
    if (context_.changed_rows != nullptr) context_.changed_rows->emplace(tensor.name, list);
    return list;
  }

  [[nodiscard]] const std::string* stored_as_of(std::string_view path) const {
    if (context_.modules == nullptr) return nullptr;
    if (const OtherModule* other = context_.modules->find_other(path); other != nullptr) return &other->stored_as;
    const ModuleEntry* const entry = context_.modules->find(path);
    return entry != nullptr && entry->site == kHeadSite ? &entry->stored_as : nullptr;
  }

  SourceTensor add(std::shared_ptr<const DerivedTensor> tensor) { return found_.derive(tensors_.size(), std::move(tensor)); }

  void add_list(AdapterModule& module, const std::string& tensor, std::vector<std::int64_t> rows) {
    module.parts.push_back(
        {.kind = PartKind::row_ids, .source = add(std::make_shared<RowList>(tensor, std::move(rows))), .slice = {}, .stored = {}});
  }

  AdapterModules& found_;
  const std::span<const TensorInfo> tensors_;
  const FamilyContext& context_;
};

// Rows of trained tokens, if the file has those of this module.
const TensorInfo* listed_rows(const AdapterModule& module, std::span<const TensorInfo> tensors) {
  const AdapterPart* const rows = module.find(PartKind::rows);
  if (rows == nullptr) return nullptr;
  const TensorInfo& tensor = tensors[rows->source.value];
  return normalised_name(tensor.name).back() == kTokenRows ? &tensor : nullptr;
}

// The tokens of a module's rows, or nullptr.
const std::vector<TokenId>* tokens_of(const AdapterConfig& config, std::string_view path) {
  if (config.family == AdapterFamily::trainable_tokens) return &config.token_indices;
  const auto listed = std::ranges::find_if(config.trained_tokens, [&](const auto& entry) { return ends_with_name(path, entry.first); });
  return listed != config.trained_tokens.end() ? &listed->second : nullptr;
}

// Whether a tensor that PEFT saves besides another holds the same.
Status check_same_numbers(const SafetensorsFile& file, const TensorInfo& tensor, const TensorInfo& copy) {
  const Result<std::vector<float>> numbers = read_all(file, tensor), others = read_all(file, copy);
  for (const Result<std::vector<float>>* read : {&numbers, &others}) {
    if (!*read) return tl::unexpected(read->error());
  }
  if (*numbers == *others) return {};
  return error("E_UNSUPPORTED_OPTION", "tensor {}: expected the numbers of {}, as both are one in training, found others", quote(copy.name),
               quote(tensor.name));
}

// On a base with tied embeddings, PEFT saves the rows of TRAINABLE_TOKENS, which are one parameter, under the names of both.
Status drop_tied_copy(AdapterModules& found, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                      const FamilyContext& context) {
  const bool is_tied = context.modules != nullptr && context.modules->ties_embeddings;
  if (!is_tied || config.family != AdapterFamily::trainable_tokens) return {};
  const auto rows_at = [&](auto at) { return at != found.modules.end() ? listed_rows(*at, tensors) : nullptr; };
  const auto head = std::ranges::find(found.modules, context.modules->modules.back().path, &AdapterModule::path);
  const auto embedding =
      std::ranges::find_if(found.modules, [&](const AdapterModule& module) { return context.modules->find_other(module.path) != nullptr; });
  const TensorInfo *const of_head = rows_at(head), *const of_embedding = rows_at(embedding);
  if (of_head == nullptr || of_embedding == nullptr || context.file == nullptr) return {};
  if (Status same = check_same_numbers(*context.file, *of_embedding, *of_head); !same) return same;
  found.modules.erase(head);
  return {};
}

// Tokens that the config lists and the file has no rows of.
void warn_of_missing_rows(AdapterModules& found, const AdapterConfig& config) {
  for (const auto& [name, tokens] : config.trained_tokens) {
    const auto has_rows = [&](const AdapterModule& module) {
      return module.find(PartKind::rows) != nullptr && ends_with_name(module.path, name);
    };
    if (std::ranges::any_of(found.modules, has_rows)) continue;
    found.warnings.push_back(
        fmt::format("trainable_token_indices names {} tokens of {}, but the file holds no rows of them: the base's are used", tokens.size(),
                    quote(name)));
  }
}

// The rows of trained tokens of an embedding that the base's head reads too.
Status add_tied_head(AdapterModules& found, AdapterModule head, const FamilyContext& context) {
  head.path = context.modules->modules.back().path;
  if (std::ranges::find(found.modules, head.path, &AdapterModule::path) != found.modules.end()) {
    return error("E_UNSUPPORTED_OPTION", "{}: trained tokens of tied embeddings change it too, and the adapter changes it in other ways",
                 quote(head.path));
  }
  std::erase_if(head.parts, [](const AdapterPart& part) { return part.kind != PartKind::rows && part.kind != PartKind::row_ids; });
  head.rank = head.in = head.out = 0;
  found.modules.push_back(std::move(head));
  return {};
}

}  // namespace

Status find_trained_rows(AdapterModules& found, const AdapterConfig& config, std::span<const TensorInfo> tensors,
                         const FamilyContext& context) {
  if (Status dropped = drop_tied_copy(found, config, tensors, context); !dropped) return dropped;
  RowFinder finder(found, tensors, context);
  std::vector<AdapterModule> of_tied_heads;
  for (AdapterModule& module : found.modules) {
    const auto rows = std::ranges::find(module.parts, PartKind::rows, &AdapterPart::kind);
    if (rows == module.parts.end()) continue;
    const TensorInfo* const listed = listed_rows(module, tensors);
    if (listed == nullptr) {
      if (Status taken = finder.take_whole(module, rows); !taken) return taken;
      continue;
    }
    const std::vector<TokenId>* const tokens = tokens_of(config, module.path);
    if (tokens == nullptr) {
      return error("E_PAIR", "tensor {}: expected \"trainable_token_indices\" to list its tokens, found none for {}", quote(listed->name),
                   quote(module.path));
    }
    if (Status taken = finder.take_listed(module, *listed, *tokens); !taken) return taken;
    const bool is_embedding = context.modules != nullptr && context.modules->find_other(module.path) != nullptr;
    if (is_embedding && context.modules->ties_embeddings) of_tied_heads.push_back(module);
  }
  warn_of_missing_rows(found, config);
  for (AdapterModule& head : of_tied_heads) {
    if (Status added = add_tied_head(found, std::move(head), context); !added) return added;
  }
  // One without parts that has sizes is of the family, pruned: it must fit the base all the same.
  std::erase_if(found.modules, [](const AdapterModule& module) { return module.parts.empty() && module.in == 0; });
  return {};
}

}  // namespace slora
