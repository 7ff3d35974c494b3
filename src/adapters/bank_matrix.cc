#include "adapters/bank_matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "formats/json.h"
#include "tensor/dtype.h"

namespace slora {
namespace {

constexpr std::size_t kKeptElements = std::size_t{1} << 20;  // of vectors that are kept in memory meanwhile

struct WeightedVector {
  std::int64_t index;
  float weight;
};

const TensorInfo& choice_of(const TileTensors& tensors) { return tensors.logits ? *tensors.logits : *tensors.indices; }

std::vector<std::int64_t> shape_of_matrix(const TileTensors& tensors, TileOrder order) {
  const std::int64_t outer = choice_of(tensors).shape[0], inner = choice_of(tensors).shape[1], length = tensors.bank.shape[1];
  if (order == TileOrder::along_rows) return {outer, inner * length};
  return {outer * length, inner};
}

std::string name_of_matrix(const TileTensors& tensors) {
  const std::string& name = choice_of(tensors).name;
  return name.substr(0, name.find("_topk_"));
}

std::vector<std::string> names_of(const TileTensors& tensors) {
  std::vector<std::string> names = {tensors.bank.name};
  for (const std::optional<TensorInfo>* tensor : {&tensors.logits, &tensors.indices, &tensors.weights}) {
    if (*tensor) names.push_back((*tensor)->name);
  }
  return names;
}

// Computes tiles of one matrix. One thread.
class TileReader {
 public:
  TileReader(const TileTensors& tensors, const SafetensorsFile& file) : tensors_(tensors), file_(file) {}

  // Tile number `tile`, counted in the order of the file: [bank.shape[1]], valid until the next call.
  Result<const float*> tile(std::int64_t tile) {
    const Result<std::vector<WeightedVector>> chosen = tensors_.logits ? chosen_by_logits(tile) : chosen_by_index(tile);
    if (!chosen) return tl::unexpected(chosen.error());
    sum_.assign(static_cast<std::size_t>(tensors_.bank.shape[1]), 0.0f);
    for (const WeightedVector& part : *chosen) {
      const Result<const float*> vector = vector_of_bank(part.index);
      if (!vector) return vector;
      for (std::size_t i = 0; i < sum_.size(); ++i) sum_[i] += part.weight * (*vector)[i];
    }
    return sum_.data();
  }

 private:
  Result<std::vector<WeightedVector>> chosen_by_logits(std::int64_t tile) {
    const Result<std::vector<float>> logits = read_rows(file_, *tensors_.logits, tile, 1);
    if (!logits) return tl::unexpected(logits.error());
    order_.resize(logits->size());
    std::iota(order_.begin(), order_.end(), std::int64_t{0});
    const auto end = order_.begin() + tensors_.vectors_per_tile;
    const auto logit_of = [&](std::int64_t index) { return (*logits)[static_cast<std::size_t>(index)]; };
    std::ranges::partial_sort(order_, end, std::ranges::greater(), logit_of);
    std::vector<WeightedVector> chosen;
    float sum = 0;
    for (auto at = order_.begin(); at != end; ++at) {
      chosen.push_back({*at, std::exp(logit_of(*at) - logit_of(order_.front()))});
      sum += chosen.back().weight;
    }
    for (WeightedVector& part : chosen) part.weight /= sum;
    return chosen;
  }

  // PEFT takes logarithms of the weights, which makes NaN of those below 0.
  Result<std::vector<WeightedVector>> chosen_by_index(std::int64_t tile) {
    Result<std::vector<WeightedVector>> chosen = indices_of(tile);
    if (!chosen || tensors_.vectors_per_tile == 1) return chosen;
    const Result<std::vector<float>> weights = read_rows(file_, *tensors_.weights, tile, 1);
    if (!weights) return tl::unexpected(weights.error());
    chosen->back().weight = 1 - std::accumulate(weights->begin(), weights->end(), 0.0f);
    for (std::size_t i = 0; i < weights->size(); ++i) (*chosen)[i].weight = (*weights)[i];
    const auto negative = std::ranges::find_if(*chosen, [](const WeightedVector& part) { return part.weight < 0; });
    if (negative == chosen->end()) return chosen;
    return error("E_NONFINITE",
                 "tensor {}: expected weights from 0 on that add up to at most 1, found {} in tile {}, of which PEFT makes NaN",
                 quote(tensors_.weights->name), negative->weight, tile);
  }

  // Each with weight 1.
  Result<std::vector<WeightedVector>> indices_of(std::int64_t tile) {
    const TensorInfo& indices = *tensors_.indices;
    const std::int64_t count = tensors_.vectors_per_tile;
    const Result<std::vector<std::int64_t>> found = read_indices(file_, indices, tile * count, count);
    if (!found) return tl::unexpected(found.error());
    std::vector<WeightedVector> chosen;
    for (const std::int64_t index : *found) {
      if (index < 0 || index >= tensors_.bank.shape[0]) {
        return error("E_INDEX", "tensor {}: expected indices below {}, the vectors of the bank, found {} in tile {}", quote(indices.name),
                     tensors_.bank.shape[0], index, tile);
      }
      if (std::ranges::find(chosen, index, &WeightedVector::index) != chosen.end())
        return error("E_INDEX", "tensor {}: expected different indices in tile {}, found {} twice", quote(indices.name), tile, index);
      chosen.push_back({index, 1});
    }
    return chosen;
  }

  Result<const float*> vector_of_bank(std::int64_t index) {
    if (const auto kept = kept_.find(index); kept != kept_.end()) return kept->second.data();
    Result<std::vector<float>> vector = read_rows(file_, tensors_.bank, index, 1);
    if (!vector) return forward_error(vector);
    if ((kept_.size() + 1) * vector->size() > kKeptElements) kept_.clear();
    return kept_.emplace(index, std::move(*vector)).first->second.data();
  }

  const TileTensors& tensors_;
  const SafetensorsFile& file_;
  std::vector<std::int64_t> order_;                            // [vectors] scratch
  std::vector<float> sum_;                                     // [length]
  std::unordered_map<std::int64_t, std::vector<float>> kept_;  // vectors of the bank by index
};

}  // namespace

BankMatrix::BankMatrix(TileTensors tensors, TileOrder order)
    : DerivedTensor(name_of_matrix(tensors), shape_of_matrix(tensors, order), names_of(tensors)),
      tensors_(std::move(tensors)),
      order_(order) {}

Status BankMatrix::compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count, Gate& /*gate*/) const {
  TileReader reader(tensors_, file);
  const std::int64_t length = tensors_.bank.shape[1];
  const std::int64_t inner = choice_of(tensors_).shape[1];
  if (order_ == TileOrder::along_rows) {
    for (std::int64_t i = 0; i < row_count * inner; ++i) {
      const Result<const float*> tile = reader.tile(row_begin * inner + i);
      if (!tile) return tl::unexpected(tile.error());
      std::copy_n(*tile, length, out + i * length);
    }
    return {};
  }
  const std::int64_t row_end = row_begin + row_count;
  for (std::int64_t outer = row_begin / length; outer * length < row_end; ++outer) {
    const std::int64_t begin = std::max(row_begin, outer * length), end = std::min(row_end, (outer + 1) * length);
    for (std::int64_t rank = 0; rank < inner; ++rank) {
      const Result<const float*> tile = reader.tile(outer * inner + rank);
      if (!tile) return tl::unexpected(tile.error());
      for (std::int64_t row = begin; row < end; ++row) out[(row - row_begin) * inner + rank] = (*tile)[row - outer * length];
    }
  }
  return {};
}

}  // namespace slora
