#include "adapters/dora_embedding_gain.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "tensor/dtype.h"

namespace slora {
namespace {

constexpr std::int64_t kEmbeddingReadElements = 1 << 18;  // of E that are read at a time

// [cols, rows] of values [rows, cols].
std::vector<float> transposed(const std::vector<float>& values, std::int64_t rows, std::int64_t cols) {
  std::vector<float> out(values.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t col = 0; col < cols; ++col)
      out[static_cast<std::size_t>(col * rows + row)] = values[static_cast<std::size_t>(row * cols + col)];
  }
  return out;
}

}  // namespace

DoraEmbeddingGain::DoraEmbeddingGain(DoraTensors tensors, std::shared_ptr<const ModelFiles> base, std::string weight)
    : DerivedTensor(tensors.magnitude.name, tensors.magnitude.shape, {tensors.magnitude.name, tensors.a.name, tensors.b.name}),
      tensors_(std::move(tensors)),
      base_(std::move(base)),
      weight_(std::move(weight)) {}

Status DoraEmbeddingGain::compute(float* out, const SafetensorsFile& file, std::int64_t /*row_begin*/, std::int64_t /*row_count*/,
                                  Gate& gate) const {
  const Result<std::vector<float>> magnitudes = read_all(file, tensors_.magnitude);
  if (!magnitudes) return tl::unexpected(magnitudes.error());
  const Result<std::vector<float>> a = read_all(file, tensors_.a), b = read_all(file, tensors_.b);
  if (!a) return tl::unexpected(a.error());
  if (!b) return tl::unexpected(b.error());
  const std::int64_t rank = tensors_.a.shape[0], vocabulary = tensors_.a.shape[1], hidden = tensors_.b.shape[0];
  const ModelTensor* const weight = base_->find(weight_);
  if (weight == nullptr || weight->info.shape != std::vector<std::int64_t>{vocabulary, hidden}) {
    return error("E_SHAPE", "the base's {}: expected [{}, {}] in its files, to compute DoRA's norms", quote(weight_), vocabulary, hidden);
  }
  const std::vector<float> ranks = transposed(*b, hidden, rank);  // [rank, hidden]
  const std::size_t element_bytes = bytes_of(weight->info.dtype);
  const std::int64_t chunk_rows = std::max<std::int64_t>(1, kEmbeddingReadElements / hidden);
  std::vector<std::byte> bytes;
  std::vector<float> rows;
  std::vector<double> squares(static_cast<std::size_t>(hidden));
  for (std::int64_t begin = 0; begin < vocabulary; begin += chunk_rows) {
    if (!gate.pass([] {})) return error("E_READ", "{}: computing DoRA's norms took too long", file.name());
    const std::int64_t count = std::min(chunk_rows, vocabulary - begin);
    rows.resize(static_cast<std::size_t>(count * hidden));
    bytes.resize(rows.size() * element_bytes);
    if (Status read = base_->read_part(*weight, static_cast<std::uint64_t>(begin * hidden) * element_bytes, bytes); !read) return read;
    convert_to_float(rows.data(), bytes.data(), weight->info.dtype, rows.size());
    for (std::int64_t i = 0; i < count; ++i) {
      float* const row = rows.data() + i * hidden;
      for (std::int64_t j = 0; j < rank; ++j) {
        const float factor = tensors_.scale * a->data()[j * vocabulary + begin + i];
        const float* const of_rank = ranks.data() + j * hidden;
        for (std::int64_t k = 0; k < hidden; ++k) row[k] += factor * of_rank[k];
      }
      for (std::int64_t k = 0; k < hidden; ++k) squares[static_cast<std::size_t>(k)] += double{row[k]} * row[k];
    }
  }
  for (std::size_t k = 0; k < squares.size(); ++k) {
    const auto norm = static_cast<float>(std::sqrt(squares[k]));
    out[k] = (*magnitudes)[k] / norm;
    if (std::isfinite(out[k])) continue;
    return error("E_NONFINITE", "tensor {}: expected a finite magnitude over norm, found {} / {} at output {}",
                 quote(tensors_.magnitude.name), (*magnitudes)[k], norm, k);
  }
  return {};
}

}  // namespace slora
