#include "formats/quantised_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "formats/nf4_parts.h"
#include "formats/quantised_form.h"
#include "formats/weight_parts.h"

namespace slora {
namespace {

constexpr std::array kFloats = {DType::f16, DType::bf16, DType::f32};
constexpr std::array kWords = {DType::i32};

std::int64_t parts_of(std::int64_t count, std::int64_t size) { return count / size + (count % size == 0 ? 0 : 1); }

// [blocks of out, blocks of in], or what compressed-tensors writes of it where one of both is 1.
std::vector<std::vector<std::int64_t>> grid_shapes(std::int64_t rows, std::int64_t columns) {
  std::vector<std::vector<std::int64_t>> shapes = {{rows, columns}};
  if (columns == 1) shapes.push_back({rows});
  if (columns == 1 && rows == 1) shapes.push_back({});
  return shapes;
}

// Makes the weight of one module.
class Assembler {
 public:
  Assembler(const WeightParts& parts, const WeightScheme& scheme, const QuantizationConfig& config)
      : parts_(parts), scheme_(scheme), config_(config) {
    matrix_.codes = scheme.codes;
    matrix_.bits = scheme.bits;
    matrix_.stores_zeros_less_one = config.stores_zeros_less_one;
  }

  Result<QuantisedMatrix> assemble() && {
    Status taken;
    switch (scheme_.codes) {
      case WeightCodes::gptq:
      case WeightCodes::awq:
        taken = take_transposed();
        break;
      case WeightCodes::packed:
        taken = take_packed();
        break;
      default:
        taken = take_bytes();
    }
    if (!taken) return forward_error(taken);
    return std::move(matrix_);
  }

 private:
  [[nodiscard]] std::int64_t per_word() const { return 32 / scheme_.bits; }

  void set_shape(std::int64_t out, std::int64_t in) {
    matrix_.out = out;
    matrix_.in = in;
    matrix_.scale_rows = scheme_.scale_rows == 0 ? out : scheme_.scale_rows;
    matrix_.scale_columns = scheme_.scale_columns == 0 ? in : std::min(scheme_.scale_columns, in);
  }

  Status take_scales(std::string_view part, std::span<const std::vector<std::int64_t>> shapes) {
    Result<StoredTensor> scales = parts_.require(part, kFloats, shapes);
    if (!scales) return forward_error(scales);
    matrix_.scale_part = std::move(*scales);
    matrix_.dtype = config_.method == QuantMethod::fp8 ? DType::f32 : matrix_.scale_part.info.dtype;
    return {};
  }

  Status take_zeros(std::string_view part, std::span<const DType> dtypes, std::span<const std::vector<std::int64_t>> shapes) {
    Result<StoredTensor> zeros = parts_.require(part, dtypes, shapes);
    if (!zeros) return forward_error(zeros);
    matrix_.zero_part = std::move(*zeros);
    return {};
  }

  // Of weights that the config says are symmetric: a program may have stored the zeros all the same.
  Status expect_no_zeros(std::string_view part) {
    if (!parts_.has(part)) return {};
    constexpr std::array kAny = {DType::i8, DType::i32, DType::i64};
    Result<StoredTensor> zeros = parts_.require_matrix(part, kAny);
    if (!zeros) return forward_error(zeros);
    std::vector<std::byte> bytes(zeros->info.bytes);
    if (Status read = zeros->read_part(0, bytes); !read) return read;
    const bool is_zero = std::ranges::all_of(bytes, [](std::byte value) { return value == std::byte{0}; });
    if (is_zero) return {};
    return parts_.refuse("E_RANGE", part, "zeros, as the \"quantization_config\" says that weights are symmetric", "others");
  }

  // Which scale each input has, if a tensor says so.
  Status take_groups(std::string_view part) {
    if (!parts_.has(part) && !scheme_.has_groups) return {};
    Result<std::vector<std::int32_t>> groups = parts_.integers(part, matrix_.in);
    if (!groups) return forward_error(groups);
    bool is_in_order = true;
    for (std::int64_t i = 0; i < matrix_.in; ++i) {
      const std::int32_t group = (*groups)[static_cast<std::size_t>(i)];
      if (group < 0 || group >= matrix_.group_count())
        return parts_.refuse("E_RANGE", part, fmt::format("0 to {}", matrix_.group_count() - 1), fmt::format("{} at {}", group, i));
      is_in_order = is_in_order && group == i / matrix_.scale_columns;
    }
    if (!is_in_order) matrix_.groups = std::move(*groups);
    return {};
  }

  Status take_transposed() {
    const bool is_gptq = scheme_.codes == WeightCodes::gptq;
    Result<StoredTensor> codes = parts_.require_matrix("qweight", kWords);
    if (!codes) return forward_error(codes);
    const std::int64_t rows = codes->info.shape[0], columns = codes->info.shape[1];
    set_shape(is_gptq ? columns : columns * per_word(), is_gptq ? rows * per_word() : rows);
    matrix_.code_part = std::move(*codes);
    if (matrix_.out % per_word() != 0)
      return parts_.refuse("E_SHAPE", "qweight", fmt::format("a multiple of {} outputs", per_word()), fmt::format("{}", matrix_.out));
    const std::vector<std::vector<std::int64_t>> scales = {{matrix_.group_count(), matrix_.out}};
    const std::vector<std::vector<std::int64_t>> zeros = {{matrix_.group_count(), matrix_.out / per_word()}};
    if (Status taken = take_scales("scales", scales); !taken) return taken;
    if (Status taken = take_zeros("qzeros", kWords, zeros); !taken) return taken;
    return is_gptq ? take_groups("g_idx") : Status();
  }

  Status take_packed() {
    Result<std::vector<std::int32_t>> shape = parts_.integers("weight_shape", 2);
    if (!shape) return forward_error(shape);
    const std::int64_t out = (*shape)[0], in = (*shape)[1];
    if (out < 1 || in < 1) return parts_.refuse("E_SHAPE", "weight_shape", "two sizes", fmt::format("[{}, {}]", out, in));
    set_shape(out, in);
    const std::vector<std::vector<std::int64_t>> words = {{out, parts_of(in, per_word())}};
    Result<StoredTensor> codes = parts_.require("weight_packed", kWords, words);
    if (!codes) return forward_error(codes);
    matrix_.code_part = std::move(*codes);
    if (Status taken = take_grid_scales("weight_scale"); !taken) return taken;
    if (scheme_.has_zeros) {
      const std::vector<std::vector<std::int64_t>> zeros = {{parts_of(out, per_word()), matrix_.group_count()}};
      if (Status taken = take_zeros("weight_zero_point", kWords, zeros); !taken) return taken;
    } else if (Status none = expect_no_zeros("weight_zero_point"); !none) {
      return none;
    }
    return take_ordered_groups();
  }

  // compressed-tensors sorts the inputs by their group and cuts them into groups of one size: the same if each group has that size.
  Status take_ordered_groups() {
    if (Status taken = take_groups("weight_g_idx"); !taken || matrix_.groups.empty()) return taken;
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(matrix_.group_count()));
    for (const std::int32_t group : matrix_.groups) ++sizes[static_cast<std::size_t>(group)];
    const auto other = std::ranges::find_if(sizes, [&](std::int64_t size) { return size != matrix_.scale_columns; });
    if (other == sizes.end()) return {};
    return parts_.refuse("E_RANGE", "weight_g_idx", fmt::format("{} inputs of each group", matrix_.scale_columns),
                         fmt::format("{} of group {}", *other, other - sizes.begin()));
  }

  Status take_grid_scales(std::string_view part) {
    if (scheme_.scale_rows == 1 && matrix_.in % matrix_.scale_columns != 0)
      return parts_.refuse("E_SHAPE", "weight", fmt::format("whole groups of {} inputs", matrix_.scale_columns),
                           fmt::format("{}", matrix_.in));
    return take_scales(part, grid_shapes(parts_of(matrix_.out, matrix_.scale_rows), matrix_.group_count()));
  }

  Status take_bytes() {
    const std::array expected = {scheme_.codes == WeightCodes::float8 ? DType::f8_e4m3 : DType::i8};
    Result<StoredTensor> codes = parts_.require_matrix("weight", expected);
    if (!codes) return forward_error(codes);
    set_shape(codes->info.shape[0], codes->info.shape[1]);
    matrix_.code_part = std::move(*codes);
    if (parts_.has("weight_g_idx")) return parts_.refuse("E_UNSUPPORTED_MODEL", "weight_g_idx", "none next to bytes", "one");
    const bool is_inverse = config_.method == QuantMethod::fp8 && !parts_.has("weight_scale");
    if (Status taken = take_grid_scales(is_inverse ? "weight_scale_inv" : "weight_scale"); !taken) return taken;
    if (!scheme_.has_zeros) return expect_no_zeros("weight_zero_point");
    constexpr std::array kBytes = {DType::i8};
    return take_zeros("weight_zero_point", kBytes, grid_shapes(parts_of(matrix_.out, matrix_.scale_rows), matrix_.group_count()));
  }

  const WeightParts& parts_;
  const WeightScheme& scheme_;
  const QuantizationConfig& config_;
  QuantisedMatrix matrix_;
};

// The scheme of a module; null: it is plain.
Result<const WeightScheme*> scheme_of(const QuantizationConfig& config, std::string_view module) {
  const Result<NameMatch> plain = config.plain.match(module);
  if (!plain) return tl::unexpected(plain.error());
  if (*plain != NameMatch::none) return nullptr;
  const WeightScheme* scheme = nullptr;
  NameMatch closest = NameMatch::none;
  for (const WeightScheme& candidate : config.schemes) {
    const Result<NameMatch> match = candidate.targets.match(module);
    if (!match) return tl::unexpected(match.error());
    if (*match > closest) {
      closest = *match;
      scheme = &candidate;
    }
  }
  return scheme;
}

// The tensors that make a weight of codes, by which a quantised module is found.
std::string_view main_part_of(WeightCodes codes) {
  switch (codes) {
    case WeightCodes::gptq:
    case WeightCodes::awq:
      return "qweight";
    case WeightCodes::packed:
      return "weight_packed";
    default:
      return "weight";
  }
}

// Modules with a tensor that is no plain weight.
std::set<std::string> quantised_modules(const ModelFiles& files, QuantMethod method) {
  std::set<std::string> modules;
  for (const ModelTensor& tensor : files.tensors()) {
    const std::string_view name = tensor.info.name;
    const auto take = [&](std::string_view end) {
      if (name.ends_with(end)) modules.emplace(name.substr(0, name.size() - end.size()));
    };
    switch (method) {
      case QuantMethod::gptq:
      case QuantMethod::awq:
        take(".qweight");
        break;
      case QuantMethod::compressed_tensors:
        take(".weight_packed");
        [[fallthrough]];
      case QuantMethod::fp8:
        if (std::ranges::find(kFloats, tensor.info.dtype) == kFloats.end()) take(".weight");
        break;
      case QuantMethod::bitsandbytes:
        take(kNf4State);
        take(kFp4State);
        if (std::ranges::find(kFloats, tensor.info.dtype) == kFloats.end()) take(".weight");
        break;
    }
  }
  return modules;
}

// Adds the names of the parts that the weight is made of to `used`.
Status read_module(ModelFiles& files, const WeightParts& parts, const WeightScheme& scheme, const QuantizationConfig& config,
                   std::vector<std::string>& used) {
  if (scheme.codes == WeightCodes::nf4) {
    Result<Nf4Parts> nf4 = assemble_nf4(parts);
    if (!nf4) return forward_error(nf4);
    parts.replace(files, "weight", nf4->shape, nf4->matrix.dtype, dequantised(std::move(nf4->matrix)), used);
    return {};
  }
  const std::string_view main = main_part_of(scheme.codes);
  if (main != "weight" && parts.has("weight"))
    return parts.refuse("E_UNKNOWN_TENSOR", "weight", fmt::format("none next to {}", main), "one");
  Result<QuantisedMatrix> matrix = Assembler(parts, scheme, config).assemble();
  if (!matrix) return forward_error(matrix);
  const std::vector<std::int64_t> shape = {matrix->out, matrix->in};
  const DType dtype = matrix->dtype;
  parts.replace(files, main, shape, dtype, dequantised(std::move(*matrix)), used);
  return {};
}

}  // namespace

Result<QuantisedWeights> read_quantised_weights(ModelFiles& files, const QuantizationConfig& config) {
  QuantisedWeights out;
  std::set<std::string> descriptions;
  std::vector<std::string> used;
  for (const std::string& module : quantised_modules(files, config.method)) {
    const WeightParts parts(files, module);
    const Result<const WeightScheme*> scheme = scheme_of(config, module);
    if (!scheme) return tl::unexpected(scheme.error());
    if (*scheme == nullptr) {
      return error("E_UNSUPPORTED_MODEL", "{}: expected a plain weight, as the \"quantization_config\" does not quantise it, found {}",
                   quote(module), parts.listed());
    }
    if (Status read = read_module(files, parts, **scheme, config, used); !read) return forward_error(read);
    descriptions.insert((*scheme)->description());
    ++out.count;
  }
  files.remove(used);
  out.description = fmt::format("{}, {}", name_of(config.method), fmt::join(descriptions, "; "));
  return out;
}

}  // namespace slora
