#include "merge/merged_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>

#include "adapters/adapter_image.h"
#include "base/check.h"
#include "formats/json.h"
#include "formats/new_file.h"
#include "formats/new_folder.h"
#include "formats/safetensors_writer.h"
#include "formats/text_files.h"
#include "merge/merged_numbers.h"
#include "merge/merged_tensors.h"
#include "adapters/part_reader.h"

namespace slora {
namespace {

constexpr std::int64_t kChunkElements = 1 << 18;          // that are computed at a time, in whole rows
constexpr std::size_t kPageBytes = std::size_t{1} << 30;  // of the image that is planned and never made: any vector fits
constexpr std::size_t kConfigBytesMax = std::size_t{4} << 20;
constexpr double kWeightMax = 1000;  // as in a blend

Status check_weight(const PreparedAdapter& adapter, float weight) {
  if (!(std::abs(weight) <= kWeightMax) || weight == 0)
    return error("bad_option", "--weight: expected a number from -{} to {}, but not 0, found {}", kWeightMax, kWeightMax, weight);
  if (weight == 1 || !adapter.traits().changes_base) return {};
  return error("E_UNSUPPORTED_OPTION",
               "--weight {}: the adapter does more than add to what the base computes, and can only be merged whole", weight);
}

// Refuses to write into a folder that is read.
Status check_outside(const std::string& out, const std::string& folder, std::string_view what) {
  std::error_code failure;
  const std::filesystem::path of_out = std::filesystem::weakly_canonical(out, failure), read = std::filesystem::canonical(folder, failure);
  if (failure) return {};  // opening it says why
  if (std::mismatch(read.begin(), read.end(), of_out.begin(), of_out.end()).first != read.end()) return {};
  return error("bad_option", "--out: expected a folder outside of {}, found {}", what, quote(out));
}

// Tensors with one file of the base's, in the order of that file.
using FileTensors = std::map<std::size_t, std::vector<const MergedTensor*>>;

FileTensors tensors_by_file(const MergedTensors& merged) {
  FileTensors files;
  for (const MergedTensor& tensor : merged.tensors) files[tensor.neighbor->file_index].push_back(&tensor);
  for (auto& [index, tensors] : files)
    std::ranges::stable_sort(tensors, {}, [](const MergedTensor* tensor) { return tensor->neighbor->info.offset; });
  return files;
}

// Linear RoPE in the spelling that the config has, transformers 5's or the one before it.
void extend_context(Json& config, const ContextExtension& extension) {
  Json& rope = config[config.contains("rope_parameters") ? "rope_parameters" : "rope_scaling"];
  if (!rope.is_object()) rope = Json::object();
  rope.erase("type");
  rope["rope_type"] = "linear";
  rope["factor"] = extension.factor;
  config["max_position_embeddings"] = extension.tokens_max;
}

// Writes one merged model. One thread.
class ModelWriter {
 public:
  ModelWriter(const ModelFolder& base, const MergeOptions& options, const MergedTensors& merged,
              const std::optional<ContextExtension>& extension, PartReader& reader, NewFolder& folder)
      : base_(base), options_(options), merged_(merged), extension_(extension), reader_(reader), folder_(folder) {}

  Status write_weights(MergeReport& report) {
    const FileTensors files = tensors_by_file(merged_);
    for (const MergedTensor& tensor : merged_.tensors) total_bytes_ += shape_of(tensor).bytes();
    Json weight_map(Json::value_t::object);
    for (const auto& [index, tensors] : files) {
      const std::string& name = base_.files.file_of(*tensors.front()->neighbor);
      if (Status written = write_file(name, tensors); !written) return written;
      for (const MergedTensor* tensor : tensors) weight_map[tensor->name] = name;
    }
    report.bytes = total_bytes_;
    report.tensor_count = merged_.tensors.size();
    report.changed_count = changed_count_;
    report.rounding = {std::sqrt(error_squares_), std::sqrt(change_squares_)};
    report.most_rounded = most_rounded_;
    report.most_rounded_share = most_rounded_share_;
    if (files.size() == 1 && base_.files.file_of(*merged_.tensors.front().neighbor) == kSingleFile) return {};
    const Json index = {{"metadata", {{"total_size", total_bytes_}}}, {"weight_map", std::move(weight_map)}};
    return write_text(kIndexFile, index.dump(2) + "\n");
  }

  // The base's, with what it has to say of the merged weights.
  Status write_config() {
    const Result<std::string> text = read_text_file(options_.base_folder + "/config.json", kConfigBytesMax);
    if (!text) return tl::unexpected(text.error());
    Result<Json> config = parse_json(*text);
    if (!config) return forward_error(config);
    const Json before = *config;
    for (const char* key : {"quantization_config", "compression_config"}) config->erase(key);  // weights are written as plain numbers
    if (merged_.unties_embeddings) (*config)["tie_word_embeddings"] = false;
    if (merged_.adds_attention_biases) (*config)["attention_bias"] = true;
    if (merged_.adds_mlp_biases) (*config)["mlp_bias"] = true;
    if (extension_) extend_context(*config, *extension_);
    if (options_.dtype) {
      const char* const name = *options_.dtype == DType::f32 ? "float32" : *options_.dtype == DType::bf16 ? "bfloat16" : "float16";
      const bool has_new_key = config->contains("dtype");
      if (has_new_key) (*config)["dtype"] = name;
      if (config->contains("torch_dtype") || !has_new_key) (*config)["torch_dtype"] = name;
    }
    return write_text("config.json", *config == before ? *text : config->dump(2) + "\n");
  }

  Status write_texts(const TextFiles& texts) {
    for (const auto& [name, content] : texts.contents()) {
      if (const std::filesystem::path parent = std::filesystem::path(name).parent_path(); !parent.empty()) {
        std::error_code failure;
        std::filesystem::create_directory(folder_.file(parent.string()), failure);
        if (failure) return error("E_WRITE", "{}: can't be created: {}", parent.string(), failure.message());
      }
      if (Status written = write_text(name, content); !written) return written;
    }
    return {};
  }

 private:
  static constexpr std::string_view kSingleFile = "model.safetensors";
  static constexpr std::string_view kIndexFile = "model.safetensors.index.json";

  [[nodiscard]] TensorShape shape_of(const MergedTensor& tensor) const {
    return {tensor.name, options_.dtype.value_or(tensor.neighbor->info.dtype), tensor.shape};
  }

  Status write_text(std::string_view name, std::string_view text) {
    Result<NewFile> file = NewFile::create(folder_.file(name));
    if (!file) return forward_error(file);
    if (Status written = file->append(text); !written) return written;
    return file->finish();
  }

  Status write_file(const std::string& name, const std::vector<const MergedTensor*>& tensors) {
    std::vector<TensorShape> shapes;
    for (const MergedTensor* tensor : tensors) shapes.push_back(shape_of(*tensor));
    Result<NewFile> file = begin_safetensors(folder_.file(name), shapes);
    if (!file) return forward_error(file);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (Status written = write_tensor(*file, *tensors[i], shapes[i]); !written) return written;
    }
    return file->finish();
  }

  Status write_tensor(NewFile& file, const MergedTensor& tensor, const TensorShape& shape) {
    const std::int64_t cols = tensor.shape.back(), rows = tensor.shape.size() == 2 ? tensor.shape.front() : 1;
    const std::int64_t chunk_rows = std::max<std::int64_t>(1, kChunkElements / cols);
    std::optional<MergedNumbers> numbers;
    if (tensor.record != nullptr) {
      Result<MergedNumbers> made = MergedNumbers::create(tensor, reader_, options_.weight);
      if (!made) return forward_error(made);
      numbers.emplace(std::move(*made));
    }
    double error_squares = 0, change_squares = 0;
    for (std::int64_t row = 0; row < rows; row += chunk_rows) {
      if (options_.stop != nullptr && *options_.stop) return error("E_STOPPED", "stopped; nothing was written to {}", quote(options_.out));
      const std::int64_t count = std::min(chunk_rows, rows - row);
      if (Status read = read_base(tensor, row * cols, count * cols); !read) return read;
      if (numbers) {
        exact_.resize(base_numbers_.size());
        if (Status computed = numbers->compute(exact_, base_numbers_, row); !computed) return computed;
        if (Status rounded = round(tensor, shape.dtype, row * cols); !rounded) return rounded;
        for (std::size_t i = 0; i < exact_.size(); ++i) {
          const double error = static_cast<double>(rounded_[i]) - exact_[i], change = exact_[i] - static_cast<double>(base_numbers_[i]);
          error_squares += error * error;
          change_squares += change * change;
        }
      } else if (tensor.base == nullptr || shape.dtype != tensor.base->info.dtype) {
        bytes_.resize(base_numbers_.size() * bytes_of(shape.dtype));
        convert_from_float(bytes_.data(), shape.dtype, base_numbers_.data(), base_numbers_.size());
      }
      if (Status written = file.append(bytes_); !written) return written;
      done_bytes_ += bytes_.size();
      if (options_.progress) options_.progress(done_bytes_, total_bytes_);
    }
    if (numbers) count_rounding(tensor.name, error_squares, change_squares);
    return {};
  }

  // Elements [begin, begin + count): base_numbers_, and in bytes_ what the file has.
  Status read_base(const MergedTensor& tensor, std::int64_t begin, std::int64_t count) {
    base_numbers_.assign(static_cast<std::size_t>(count), 0.0f);
    if (tensor.base == nullptr) return {};
    const DType dtype = tensor.base->info.dtype;
    bytes_.resize(base_numbers_.size() * bytes_of(dtype));
    if (Status read = base_.files.read_part(*tensor.base, static_cast<std::uint64_t>(begin) * bytes_of(dtype), bytes_); !read) return read;
    convert_to_float(base_numbers_.data(), bytes_.data(), dtype, base_numbers_.size());
    return {};
  }

  // exact_ to bytes_, and to rounded_ as they are stored.
  Status round(const MergedTensor& tensor, DType dtype, std::int64_t begin) {
    rounded_.resize(exact_.size());
    std::ranges::transform(exact_, rounded_.begin(), [](double value) { return static_cast<float>(value); });
    bytes_.resize(exact_.size() * bytes_of(dtype));
    convert_from_float(bytes_.data(), dtype, rounded_.data(), rounded_.size());
    convert_to_float(rounded_.data(), bytes_.data(), dtype, rounded_.size());
    const auto bad = std::ranges::find_if_not(rounded_, [](float value) { return std::isfinite(value); });
    if (bad == rounded_.end()) return {};
    return error("E_NONFINITE", "tensor {}: expected finite numbers in {}, found {} at element {}", quote(tensor.name), name_of(dtype),
                 exact_[static_cast<std::size_t>(bad - rounded_.begin())], begin + (bad - rounded_.begin()));
  }

  void count_rounding(const std::string& name, double error_squares, double change_squares) {
    ++changed_count_;
    error_squares_ += error_squares;
    change_squares_ += change_squares;
    const double share = change_squares > 0 ? std::sqrt(error_squares / change_squares) : 0;
    if (share <= most_rounded_share_) return;
    most_rounded_share_ = share;
    most_rounded_ = name;
  }

  const ModelFolder& base_;
  const MergeOptions& options_;
  const MergedTensors& merged_;
  const std::optional<ContextExtension>& extension_;
  PartReader& reader_;
  NewFolder& folder_;
  std::uint64_t done_bytes_ = 0, total_bytes_ = 0;
  std::vector<std::byte> bytes_;
  std::vector<float> base_numbers_, rounded_;
  std::vector<double> exact_;
  std::size_t changed_count_ = 0;
  double error_squares_ = 0, change_squares_ = 0, most_rounded_share_ = 0;
  std::string most_rounded_;
};

// Names of the adapter's files about text that are not the base's: they are not merged.
std::vector<std::string> own_texts(const TextFiles& of_adapter, const TextFiles& of_base) {
  std::vector<std::string> names;
  for (const auto& [name, content] : of_adapter.contents()) {
    const std::string* const same = of_base.find(name);
    if (same == nullptr || *same != content) names.push_back(name);
  }
  return names;
}

}  // namespace

Result<MergeReport> write_merged_model(std::shared_ptr<const ModelFolder> base, const MergeOptions& options) {
  for (const auto& [folder, what] : {std::pair(options.base_folder, "the base's"), std::pair(options.adapter.path, "the adapter's")}) {
    if (Status outside = check_outside(options.out, folder, what); !outside) return forward_error(outside);
  }
  if (const Family family = base->config.family; !traits_of(family).text_type.empty()) {
    return error("E_UNSUPPORTED_OPTION", "config.json: \"model_type\": a merged {} folder would lack the tensors that read images",
                 name_of(family));
  }
  const ModuleTable table = make_module_table(base->config);
  const AdapterBase adapter_base{.modules = table,
                                 .format = {},
                                 .page_bytes = kPageBytes,
                                 .weights = std::shared_ptr<const ModelFiles>(base, &base->files),
                                 .extended_positions_max = std::numeric_limits<std::int32_t>::max()};
  const Result<PreparedAdapter> adapter = prepare_adapter(options.adapter, adapter_base);
  if (!adapter) return tl::unexpected(adapter.error());
  if (!adapter->folder.config.invocation_tokens.empty())
    return error("E_UNSUPPORTED_OPTION", "\"alora_invocation_tokens\": an adapter that acts on some tokens only can't be merged");
  if (adapter->added_tokens > 0) {
    return error("E_UNSUPPORTED_OPTION",
                 "an adapter with tokens of its own, {} here, can't be merged, as the base's tables end before them",
                 adapter->added_tokens);
  }
  if (Status served = check_weight(*adapter, options.weight); !served) return forward_error(served);
  const Result<MergedTensors> merged = plan_merged_tensors(*base, table, adapter->layouts.front().records);
  if (!merged) return tl::unexpected(merged.error());
  const Result<TextFiles> texts = TextFiles::read(options.base_folder), own = TextFiles::read(options.adapter);
  if (!texts) return tl::unexpected(texts.error());
  if (!own) return tl::unexpected(own.error());

  MergeReport report;
  report.warnings = adapter->warnings;
  if (const std::vector<std::string> names = own_texts(*own, *texts); !names.empty()) {
    report.warnings.push_back(
        fmt::format("the adapter's folder has {} of its own, which the merged model needs where it is used with the "
                    "adapter's tokens or templates: the base's are copied",
                    fmt::join(names, ", ")));
  }
  Result<NewFolder> folder = NewFolder::create(options.out);
  if (!folder) return forward_error(folder);
  PartReader reader(adapter->folder.weights, adapter->derived);
  ModelWriter writer(*base, options, *merged, adapter->extension, reader, *folder);
  if (Status written = writer.write_config(); !written) return forward_error(written);
  if (Status written = writer.write_texts(*texts); !written) return forward_error(written);
  if (Status written = writer.write_weights(report); !written) return forward_error(written);
  if (Status published = folder->publish(); !published) return forward_error(published);
  return report;
}

}  // namespace slora
