#include "formats/weight_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "formats/json.h"

namespace slora {
namespace {

std::string shown_shape(std::span<const std::int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string shown_types(std::span<const DType> dtypes) {
  std::vector<std::string_view> names;
  for (const DType dtype : dtypes) names.push_back(name_of(dtype));
  return fmt::format("{}", fmt::join(names, " or "));
}

// What follows a module's name in the names of a quantised weight's parts, and of scales for its inputs and outputs, which are not used.
constexpr std::array<std::string_view, 19> kParts = {"qweight",
                                                     "qzeros",
                                                     "scales",
                                                     "g_idx",
                                                     "weight",
                                                     "weight_packed",
                                                     "weight_scale",
                                                     "weight_scale_inv",
                                                     "weight_zero_point",
                                                     "weight_shape",
                                                     "weight_g_idx",
                                                     "weight.absmax",
                                                     "weight.quant_map",
                                                     "weight.nested_absmax",
                                                     "weight.nested_quant_map",
                                                     "weight.quant_state.bitsandbytes__nf4",
                                                     "input_scale",
                                                     "input_zero_point",
                                                     "activation_scale"};

}  // namespace

std::string WeightParts::name_of_part(std::string_view part) const { return fmt::format("{}.{}", module_, part); }

bool WeightParts::has(std::string_view part) const { return files_.find(name_of_part(part)) != nullptr; }

tl::unexpected<Error> WeightParts::refuse(std::string_view code, std::string_view part, std::string_view expected,
                                          std::string_view found) const {
  const std::string name = name_of_part(part);
  const ModelTensor* tensor = files_.find(name);
  const std::string file = tensor == nullptr ? std::string() : files_.file_of(*tensor) + ": ";
  return error(std::string(code), "{}tensor {}: expected {}, found {}", file, quote(name), expected, found);
}

Result<StoredTensor> WeightParts::require_type(std::string_view part, std::span<const DType> dtypes) const {
  const ModelTensor* tensor = files_.find(name_of_part(part));
  if (tensor == nullptr) return refuse("E_MISSING_TENSOR", part, fmt::format("next to {}", listed()), "none");
  if (std::ranges::find(dtypes, tensor->info.dtype) == dtypes.end())
    return refuse("E_DTYPE", part, shown_types(dtypes), name_of(tensor->info.dtype));
  return files_.stored(*tensor);
}

Result<StoredTensor> WeightParts::require(std::string_view part, std::span<const DType> dtypes,
                                          std::span<const std::vector<std::int64_t>> shapes) const {
  Result<StoredTensor> tensor = require_type(part, dtypes);
  if (!tensor || std::ranges::find(shapes, tensor->info.shape) != shapes.end()) return tensor;
  return refuse("E_SHAPE", part, shown_shape(shapes.front()), shown_shape(tensor->info.shape));
}

Result<StoredTensor> WeightParts::require_matrix(std::string_view part, std::span<const DType> dtypes) const {
  Result<StoredTensor> tensor = require_type(part, dtypes);
  if (!tensor) return tensor;
  const std::vector<std::int64_t>& shape = tensor->info.shape;
  if (shape.size() == 2 && shape[0] > 0 && shape[1] > 0) return tensor;
  return refuse("E_SHAPE", part, "a matrix", shown_shape(shape));
}

Result<StoredTensor> WeightParts::require_vector(std::string_view part, std::span<const DType> dtypes, std::uint64_t bytes_max) const {
  Result<StoredTensor> tensor = require_type(part, dtypes);
  if (!tensor || (tensor->info.shape.size() == 1 && tensor->info.bytes <= bytes_max)) return tensor;
  return refuse("E_SHAPE", part, fmt::format("a vector of at most {} bytes", bytes_max), shown_shape(tensor->info.shape));
}

Result<std::vector<float>> WeightParts::floats(std::string_view part, std::int64_t count) const {
  constexpr std::array kFloat32 = {DType::f32};
  const std::array<std::vector<std::int64_t>, 1> shape = {{{count}}};
  const Result<StoredTensor> tensor = require(part, kFloat32, shape);
  if (!tensor) return tl::unexpected(tensor.error());
  std::vector<float> out(static_cast<std::size_t>(count));
  if (Status read = tensor->read_part(0, std::as_writable_bytes(std::span(out))); !read) return forward_error(read);
  const auto bad = std::ranges::find_if_not(out, [](float number) { return std::isfinite(number); });
  if (bad != out.end()) return refuse("E_NONFINITE", part, "finite numbers", fmt::format("{}", *bad));
  return out;
}

Result<std::vector<std::int32_t>> WeightParts::integers(std::string_view part, std::int64_t count) const {
  constexpr std::array kIntegers = {DType::i32, DType::i64};
  const std::array<std::vector<std::int64_t>, 1> shape = {{{count}}};
  const Result<StoredTensor> tensor = require(part, kIntegers, shape);
  if (!tensor) return tl::unexpected(tensor.error());
  std::vector<std::int32_t> out(static_cast<std::size_t>(count));
  if (tensor->info.dtype == DType::i32) {
    if (Status read = tensor->read_part(0, std::as_writable_bytes(std::span(out))); !read) return forward_error(read);
    return out;
  }
  std::vector<std::int64_t> wide(out.size());
  if (Status read = tensor->read_part(0, std::as_writable_bytes(std::span(wide))); !read) return forward_error(read);
  for (std::size_t i = 0; i < wide.size(); ++i) {
    if (!std::in_range<std::int32_t>(wide[i]))
      return refuse("E_RANGE", part, fmt::format("at most {}", std::numeric_limits<std::int32_t>::max()), fmt::format("{}", wide[i]));
    out[i] = static_cast<std::int32_t>(wide[i]);
  }
  return out;
}

std::string WeightParts::listed() const {
  std::vector<std::string> found;
  for (const std::string_view part : kParts) {
    if (has(part)) found.push_back(quote(name_of_part(part)));
  }
  return fmt::format("{}", fmt::join(found, ", "));
}

void WeightParts::replace(ModelFiles& files, std::string_view main, std::vector<std::int64_t> shape, DType dtype,
                          std::shared_ptr<const TensorForm> form, std::vector<std::string>& used) const {
  std::uint64_t bytes = bytes_of(dtype);
  for (const std::int64_t size : shape) bytes *= static_cast<std::uint64_t>(size);
  for (const std::string_view part : kParts) {
    if (part != main && has(part)) used.push_back(name_of_part(part));
  }
  files.read_through(name_of_part(main), {.name = name_of_part("weight"), .dtype = dtype, .shape = std::move(shape), .bytes = bytes},
                     std::move(form));
}

}  // namespace slora
