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

// row += factors[0] * a[0] + ... + factors[3] * a[3], in blocks that the compiler vectorises.
void add_four(float* row, const float* const (&a)[4], const float (&factors)[4], std::int64_t count) {
  constexpr std::int64_t kBlock = 16;
  std::int64_t i = 0;
  const auto add = [&](std::int64_t at) {
    row[at] += (factors[0] * a[0][at] + factors[1] * a[1][at]) + (factors[2] * a[2][at] + factors[3] * a[3][at]);
  };
  for (; i + kBlock <= count; i += kBlock) {
    for (std::int64_t k = 0; k < kBlock; ++k) add(i + k);
  }
  for (; i < count; ++i) add(i);
}

// row += scale * factors A, A [rank, count]
void add_ranks(float* row, const std::vector<float>& a, const float* factors, float scale, std::int64_t rank, std::int64_t count) {
  for (std::int64_t j = 0; j < rank; j += 4) {
    const float* rows[4];
    float scaled[4];
    for (std::int64_t k = 0; k < 4; ++k) {
      const bool exists = j + k < rank;
      rows[k] = a.data() + (exists ? j + k : j) * count;
      scaled[k] = exists ? scale * factors[j + k] : 0.0f;
    }
    add_four(row, rows, scaled, count);
  }
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

Status DoraGain::compute(float* out, const SafetensorsFile& file, std::int64_t /*row_begin*/, std::int64_t /*row_count*/,
                         Gate& gate) const {
  const Result<std::vector<float>> magnitudes = read_all(file, tensors_.magnitude);
  if (!magnitudes) return tl::unexpected(magnitudes.error());
  const Result<std::vector<float>> a = read_all(file, tensors_.a);
  if (!a) return tl::unexpected(a.error());
  const FactoredMatrix* start = nullptr;
  if (tensors_.start != nullptr) {
    const Result<const FactoredMatrix*> factors = tensors_.start->factors(file, gate);
    if (!factors) return tl::unexpected(factors.error());
    start = *factors;
  }
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
    if (!gate.pass([] {})) return error("E_READ", "{}: computing DoRA's norms took too long", file.name());
    const std::int64_t count = std::min(chunk_rows, outputs - begin);
    const Result<std::vector<float>> b = read_rows(file, tensors_.b, begin, count);
    if (!b) return tl::unexpected(b.error());
    rows.resize(static_cast<std::size_t>(count * in));
    bytes.resize(rows.size() * element_bytes);
    if (Status read = base_->read_part(*weight, static_cast<std::uint64_t>(begin * in) * element_bytes, bytes); !read) return read;
    convert_to_float(rows.data(), bytes.data(), weight->info.dtype, rows.size());
    for (std::int64_t i = 0; i < count; ++i) {
      float* const row = rows.data() + i * in;
      add_ranks(row, *a, b->data() + i * rank, tensors_.scale, rank, in);
      if (start != nullptr) add_ranks(row, start->a, start->b.data() + (begin + i) * rank, -tensors_.scale, rank, in);
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
