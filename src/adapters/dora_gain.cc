#include "adapters/dora_gain.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "tensor/dtype.h"

namespace slora {
namespace {

constexpr std::int64_t kReadElements = 1 << 18;  // of W that are read at a time

// row += factor * other
void add_scaled(float* row, const float* other, float factor, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) row[i] += factor * other[i];
}

// In fp32 as PEFT, in several sums, so that the additions of long rows lose little and are independent of each other.
float norm_of(const float* row, std::int64_t count) {
  constexpr std::int64_t kSums = 16;
  float sums[kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::int64_t k = 0; k < kSums; ++k) sums[k] += row[i + k] * row[i + k];
  }
  double sum = 0;
  for (; i < count; ++i) sum += row[i] * row[i];
  for (const float value : sums) sum += value;
  return static_cast<float>(std::sqrt(sum));
}

}  // namespace

DoraGain::DoraGain(DoraTensors tensors, std::shared_ptr<const ModelFiles> base, std::string weight)
    : DerivedTensor(tensors.magnitude.name, tensors.magnitude.shape, {tensors.magnitude.name, tensors.a.name, tensors.b.name}),
      tensors_(std::move(tensors)),
      base_(std::move(base)),
      weight_(std::move(weight)) {}

Status DoraGain::compute(float* out, const SafetensorsFile& file, std::int64_t /*row_begin*/, std::int64_t /*row_count*/) const {
  const Result<std::vector<float>> magnitudes = read_all(file, tensors_.magnitude);
  if (!magnitudes) return tl::unexpected(magnitudes.error());
  const Result<std::vector<float>> a = read_all(file, tensors_.a);
  if (!a) return tl::unexpected(a.error());
  const Result<std::vector<float>> b = read_all(file, tensors_.b);
  if (!b) return tl::unexpected(b.error());
  const std::int64_t rank = tensors_.a.shape[0], in = tensors_.a.shape[1], outputs = tensors_.b.shape[0];
  const ModelTensor* const weight = base_->find(weight_);
  if (weight == nullptr || weight->info.shape != std::vector<std::int64_t>{outputs, in}) {
    return error("E_SHAPE", "the base's {}: expected [{}, {}] in its files, to compute DoRA's norms", quote(weight_), outputs, in);
  }
  const std::size_t element_bytes = bytes_of(weight->info.dtype);
  const std::int64_t chunk_rows = std::max<std::int64_t>(1, kReadElements / in);
  std::vector<std::byte> bytes;
  std::vector<float> rows;
  for (std::int64_t begin = 0; begin < outputs; begin += chunk_rows) {
    const std::int64_t count = std::min(chunk_rows, outputs - begin);
    rows.resize(static_cast<std::size_t>(count * in));
    bytes.resize(rows.size() * element_bytes);
    if (Status read = base_->read_part(*weight, static_cast<std::uint64_t>(begin * in) * element_bytes, bytes); !read) return read;
    convert_to_float(rows.data(), bytes.data(), weight->info.dtype, rows.size());
    for (std::int64_t i = 0; i < count; ++i) {
      float* const row = rows.data() + i * in;
      const float* const factors = b->data() + (begin + i) * rank;
      for (std::int64_t j = 0; j < rank; ++j) add_scaled(row, a->data() + j * in, tensors_.scale * factors[j], in);
      const float norm = norm_of(row, in);
      const float gain = (*magnitudes)[static_cast<std::size_t>(begin + i)] / norm;
      if (!std::isfinite(gain)) {
        return error("E_NONFINITE", "tensor {}: expected a finite magnitude over norm, found {} / {} at output {}",
                     quote(tensors_.magnitude.name), (*magnitudes)[static_cast<std::size_t>(begin + i)], norm, begin + i);
      }
      out[begin + i] = gain;
    }
  }
  return {};
}

}  // namespace slora
