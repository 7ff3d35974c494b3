#include "model/weight_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "tensor/int4.h"

namespace slora {
namespace {

// As llama.cpp chooses layers in its mixtures of four and six bits: the first and the last eighth, and every third one between.
bool needs_fine_down(std::int32_t layer, std::int32_t layer_count) {
  const std::int32_t eighth = layer_count / 8;
  return layer < eighth || layer >= 7 * layer_count / 8 || (layer - eighth) % 3 == 2;
}

// Whether the numbers are evenly spaced, but for what rounding them to 16 bits makes of that.
bool has_levels(std::span<const float> numbers) {
  constexpr float kStepShare = 1.0f / 32;
  const Int4Group group = round_to_int4(numbers);
  const float limit = kStepShare * std::abs(to_float(group.scale));
  std::size_t index = 0;
  return std::ranges::all_of(numbers, [&](float number) { return std::abs(group.value(index++) - number) <= limit; });
}

}  // namespace

WeightPlan::Fine WeightPlan::fine_of(std::span<const TensorEntry> modules, WeightStorage storage) const {
  const TensorEntry& last = modules.back();
  if (last.is_table()) return {.is_table = true};
  const bool is_fine_down =
      last.site.kind == SiteKind::down && storage == WeightStorage::int4 && needs_fine_down(last.site.layer, config_.layer_count);
  const bool has_values = last.site.kind == SiteKind::qkv && storage != WeightStorage::bf16;
  if (!is_fine_down && !has_values) return {};
  if (storage != WeightStorage::int4) return {.rows = shape_.kv_width()};
  if (is_in_four_bits(last)) return {};
  return {.is_table = is_fine_down, .rows = has_values ? 2 * shape_.kv_width() : 0};  // values, and keys before them
}

LinearWeight WeightPlan::make(std::span<const TensorEntry> modules, Backend& backend) const {
  const ProductShape product = product_shape(modules, shape_);
  const Fine fine = fine_of(modules, backend.weight_storage());
  if (fine.is_table) return backend.make_table(product.out, product.in);
  return fine.rows > 0 ? backend.make_mixed(product.out, product.in, fine.rows) : backend.make_linear(product.out, product.in);
}

std::size_t WeightPlan::bytes(std::span<const TensorEntry> modules, const Backend& backend) const {
  const ProductShape product = product_shape(modules, shape_);
  const Fine fine = fine_of(modules, backend.weight_storage());
  if (fine.is_table) return backend.table_bytes(product.out, product.in);
  return fine.rows > 0 ? backend.mixed_bytes(product.out, product.in, fine.rows) : backend.linear_bytes(product.out, product.in);
}

bool WeightPlan::rounds_to_four_bits(const Backend& backend) const {
  if (backend.weight_storage() != WeightStorage::int4) return false;
  const ModelTensors tensors = make_model_tensors(config_);
  return std::ranges::any_of(tensors.products(), [&](std::span<const TensorEntry> modules) {
    if (fine_of(modules, WeightStorage::int4).is_table) return false;
    return !std::ranges::all_of(modules, [&](const TensorEntry& module) { return is_in_four_bits(module); });
  });
}

// Looks at a few of its rows: all of them are of one kind.
bool WeightPlan::is_in_four_bits(const TensorEntry& module) const {
  constexpr double kShareMin = 0.9;  // of the groups: a few may be of numbers near zero
  if (files_ == nullptr) return false;
  const ModelTensor* tensor = files_->find(module.stored_as + ".weight");
  if (tensor == nullptr) return false;
  const DType dtype = tensor->info.dtype;
  const auto columns = static_cast<std::size_t>(module.columns), row_bytes = columns * bytes_of(dtype);
  std::vector<std::byte> row(row_bytes);
  std::vector<float> numbers(columns);
  std::int64_t groups = 0, found = 0;
  for (const std::int64_t index : {std::int64_t{0}, module.rows / 2, module.rows - 1}) {
    if (!files_->read_part(*tensor, static_cast<std::uint64_t>(index) * row_bytes, row)) return false;  // loading it will say why
    convert_to_float(numbers.data(), row.data(), dtype, columns);
    for (std::size_t begin = 0; begin + kInt4Group <= columns; begin += kInt4Group) {
      ++groups;
      found += has_levels(std::span(numbers).subspan(begin, kInt4Group)) ? 1 : 0;
    }
  }
  return groups > 0 && static_cast<double>(found) >= kShareMin * static_cast<double>(groups);
}

}  // namespace slora
