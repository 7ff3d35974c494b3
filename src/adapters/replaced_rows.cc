#include "adapters/replaced_rows.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "adapters/tensor_names.h"
#include "formats/json.h"

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
    Result<std::vector<std::int64_t>> changed = changed_rows(*context_.file, tensor, *context_.weights, *of_base);
    if (!changed) return forward_error(changed);
    if (changed->empty()) {
      module.parts.erase(part);
      module.row_count = module.in_of_rows = 0;
    } else if (changed->size() <= kListedMax) {
      module.row_count = static_cast<std::int64_t>(changed->size());
      part->source = add(std::make_shared<SomeRows>(tensor, *changed));
      add_list(module, tensor.name, std::move(*changed));
    }
    return {};
  }

  // Rows of tokens that the config lists.
  Status take_listed(AdapterModule& module, const TensorInfo& tensor, std::span<const TokenId> tokens) {
    if (module.rank > 0) {
      return error("E_UNSUPPORTED_OPTION", "{}: expected trained tokens or LoRA of it, found both", quote(module.path));
    }
    if (std::cmp_not_equal(tokens.size(), module.row_count)) {
      return error("E_INDEX", "tensor {}: expected {} rows, one for each of trainable_token_indices, found {}", quote(tensor.name),
                   tokens.size(), shape_of(tensor));
    }
    if (context_.modules != nullptr) {
      const auto unknown = std::ranges::find_if(tokens, [&](TokenId token) { return token >= context_.modules->vocab_size; });
      if (unknown != tokens.end()) {
        return error("E_INDEX", "\"trainable_token_indices\": expected tokens below {}, the base's vocabulary, found {}",
                     context_.modules->vocab_size, *unknown);
      }
    }
    add_list(module, tensor.name, {tokens.begin(), tokens.end()});
    return {};
  }

 private:
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

bool is_called(std::string_view path, std::string_view name) {
  return path == name || (path.size() > name.size() && path.ends_with(name) && path[path.size() - name.size() - 1] == '.');
}

}  // namespace

Status find_trained_rows(std::vector<AdapterModule>& modules, AdapterModules& found, const AdapterConfig& config,
                         std::span<const TensorInfo> tensors, const FamilyContext& context) {
  RowFinder finder(found, tensors, context);
  std::vector<AdapterModule> of_tied_heads;
  for (AdapterModule& module : modules) {
    const auto rows = std::ranges::find(module.parts, PartKind::rows, &AdapterPart::kind);
    if (rows == module.parts.end()) continue;
    const TensorInfo& tensor = tensors[rows->source.value];
    if (!tensor.name.ends_with("trainable_tokens_delta")) {
      if (Status taken = finder.take_whole(module, rows); !taken) return taken;
      continue;
    }
    const auto listed = std::ranges::find_if(config.trained_tokens, [&](const auto& entry) { return is_called(module.path, entry.first); });
    if (listed == config.trained_tokens.end()) {
      return error("E_PAIR", "tensor {}: expected \"trainable_token_indices\" to list its tokens, found none for {}", quote(tensor.name),
                   quote(module.path));
    }
    if (Status taken = finder.take_listed(module, tensor, listed->second); !taken) return taken;
    const bool is_embedding = context.modules != nullptr && context.modules->find_other(module.path) != nullptr;
    if (!is_embedding || !context.modules->ties_embeddings) continue;
    AdapterModule& head = of_tied_heads.emplace_back(module);
    head.path = context.modules->modules.back().path;
    std::erase_if(head.parts, [](const AdapterPart& part) { return part.kind != PartKind::rows && part.kind != PartKind::row_ids; });
    head.rank = head.in = head.out = 0;
  }
  for (const auto& [name, tokens] : config.trained_tokens) {
    const auto has_rows = [&](const AdapterModule& module) {
      return module.find(PartKind::rows) != nullptr && is_called(module.path, name);
    };
    if (std::ranges::none_of(modules, has_rows)) {
      found.warnings.push_back(
          fmt::format("trainable_token_indices names {} tokens of {}, but the file holds no rows of them: the base's are used",
                      tokens.size(), quote(name)));
    }
  }
  for (AdapterModule& head : of_tied_heads) {
    const auto same = std::ranges::find(modules, head.path, &AdapterModule::path);
    if (same != modules.end()) {
      return error("E_UNSUPPORTED_OPTION", "{}: trained tokens of tied embeddings change it too, and the adapter changes it in other ways",
                   quote(head.path));
    }
    modules.push_back(std::move(head));
  }
  std::erase_if(modules, [](const AdapterModule& module) { return module.parts.empty(); });
  return {};
}

}  // namespace slora
