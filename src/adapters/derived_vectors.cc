#include "adapters/derived_vectors.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "tensor/dtype.h"

namespace slora {
namespace {

std::int64_t element_count(const TensorInfo& tensor) { return static_cast<std::int64_t>(tensor.bytes / bytes_of(tensor.dtype)); }

}  // namespace

ScaledVector::ScaledVector(TensorInfo tensor, float scale)
    : DerivedTensor(tensor.name, {element_count(tensor)}, {tensor.name}), tensor_(std::move(tensor)), scale_(scale) {}

Status ScaledVector::compute(float* out, const SafetensorsFile& file, std::int64_t /*row_begin*/, std::int64_t /*row_count*/,
                             Gate& /*gate*/) const {
  const Result<std::vector<float>> values = read_all(file, tensor_);
  if (!values) return tl::unexpected(values.error());
  std::ranges::transform(*values, out, [this](float value) { return scale_ * value; });
  return {};
}

ScaledBias::ScaledBias(TensorInfo factors, std::shared_ptr<const ModelFiles> base, std::string bias)
    : DerivedTensor(factors.name, {element_count(factors)}, {factors.name}),
      factors_(std::move(factors)),
      base_(std::move(base)),
      bias_(std::move(bias)) {}

Status ScaledBias::compute(float* out, const SafetensorsFile& file, std::int64_t /*row_begin*/, std::int64_t /*row_count*/,
                           Gate& /*gate*/) const {
  const Result<std::vector<float>> factors = read_all(file, factors_);
  if (!factors) return tl::unexpected(factors.error());
  const ModelTensor* const bias = base_->find(bias_);
  if (bias == nullptr || bias->info.shape != shape()) {
    return error("E_SHAPE", "the base's {}: expected [{}] in its files, to multiply it with {}", quote(bias_), shape()[0],
                 quote(factors_.name));
  }
  std::vector<std::byte> bytes(bias->info.bytes);
  if (Status read = base_->read(*bias, bytes); !read) return read;
  std::vector<float> values(factors->size());
  convert_to_float(values.data(), bytes.data(), bias->info.dtype, values.size());
  std::ranges::transform(*factors, values, out, [](float factor, float value) { return factor * value; });
  return {};
}

Status ZeroVector::compute(float* out, const SafetensorsFile& /*file*/, std::int64_t /*row_begin*/, std::int64_t /*row_count*/,
                           Gate& /*gate*/) const {
  std::fill_n(out, shape()[0], 0.0f);
  return {};
}

}  // namespace slora
