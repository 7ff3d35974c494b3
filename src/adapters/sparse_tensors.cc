#include "adapters/sparse_tensors.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>

#include "formats/json.h"

namespace slora {
namespace {

constexpr std::int64_t kIndexChunk = 1 << 16;  // whose indices are read at a time

std::string derived_name(const TensorInfo& tensor, std::string_view what) { return fmt::format("{} ({})", tensor.name, what); }

std::vector<std::string> names_of(const SparseTensors& tensors) { return {tensors.indices.name, tensors.values.name}; }

// E_INDEX
Status check_indices(std::span<const std::int64_t> indices, std::int64_t end, const SparseTensors& tensors, std::string_view what,
                     std::int64_t first) {
  const auto bad = std::ranges::find_if(indices, [&](std::int64_t index) { return index < 0 || index >= end; });
  if (bad == indices.end()) return {};
  return error("E_INDEX", "tensor {}: expected {} from 0 to {}, as the base's module has, found {} at element {}",
               quote(tensors.indices.name), what, end - 1, *bad, first + (bad - indices.begin()));
}

// Calls use(row of [blocks, out], column within its block) with the elements in the order of the file. E_INDEX, E_READ.
template <class Use>
Status for_each_index(const SafetensorsFile& file, const SparseTensors& tensors, Gate* gate, Use use) {
  const std::int64_t count = tensors.count();
  for (std::int64_t begin = 0; begin < count; begin += kIndexChunk) {
    const std::int64_t chunk = std::min(kIndexChunk, count - begin);
    const Result<std::vector<std::int64_t>> rows = read_indices(file, tensors.indices, begin, chunk);
    if (!rows) return tl::unexpected(rows.error());
    const Result<std::vector<std::int64_t>> columns = read_indices(file, tensors.indices, count + begin, chunk);
    if (!columns) return tl::unexpected(columns.error());
    if (Status checked = check_indices(*rows, tensors.out, tensors, "rows", begin); !checked) return checked;
    if (Status checked = check_indices(*columns, tensors.in, tensors, "columns", begin); !checked) return checked;
    for (std::size_t i = 0; i < rows->size(); ++i) {
      const auto row = static_cast<std::int32_t>((*rows)[i]), column = static_cast<std::int32_t>((*columns)[i]);
      const auto block = std::ranges::upper_bound(tensors.block_begins, column) - 1;
      use(static_cast<std::size_t>(block - tensors.block_begins.begin()) * static_cast<std::size_t>(tensors.out) +
              static_cast<std::size_t>(row),
          column - *block);
    }
    if (gate != nullptr && !gate->pass([] {})) return error("E_READ", "{}: reading it took too long", file.name());
  }
  return {};
}

// [blocks, out] elements of each row.
Result<std::vector<std::int32_t>> count_elements(const SafetensorsFile& file, const SparseTensors& tensors, Gate* gate) {
  std::vector<std::int32_t> counts(tensors.block_begins.size() * static_cast<std::size_t>(tensors.out));
  if (Status read = for_each_index(file, tensors, gate, [&](std::size_t row, std::int32_t) { ++counts[row]; }); !read)
    return forward_error(read);
  return counts;
}

// [shards]
std::vector<ElementRange> elements_of_shards(const std::vector<std::int32_t>& counts, const SparseTensors& tensors) {
  std::vector<ElementRange> elements;
  for (const ElementRange& rows : tensors.shard_rows) {
    const auto first = counts.begin() + rows.begin;
    elements.push_back({std::accumulate(counts.begin(), first, 0), std::accumulate(first, first + rows.count, 0)});
  }
  return elements;
}

// Calls use(element, column within its block) with the elements in the order of the file. They are numbered as they lie in an image, those
// of one row in the order of the file.
template <class Use>
Status for_each_element(const SafetensorsFile& file, const SparseTensors& tensors, Gate& gate, Use use) {
  Result<std::vector<std::int32_t>> next = count_elements(file, tensors, &gate);
  if (!next) return forward_error(next);
  std::exclusive_scan(next->begin(), next->end(), next->begin(), 0);
  return for_each_index(file, tensors, &gate, [&](std::size_t row, std::int32_t column) {
    const std::int32_t element = (*next)[row]++;
    if (element < tensors.count()) use(element, column);  // always, unless the file changes meanwhile
  });
}

}  // namespace

SparseTensors::SparseTensors(TensorInfo of_indices, TensorInfo of_values, const ModuleEntry& module)
    : indices(std::move(of_indices)), values(std::move(of_values)), out(module.out), in(module.in) {
  if (!module.splits_input) block_begins = {0};
  for (const ModuleCut& cut : module.cuts) {
    if (module.splits_input) {
      shard_rows.push_back({static_cast<std::int32_t>(block_begins.size()) * out, out});
      block_begins.push_back(static_cast<std::int32_t>(cut.in.begin));
    } else {
      shard_rows.push_back({static_cast<std::int32_t>(cut.out.begin), static_cast<std::int32_t>(cut.out.count)});
    }
  }
}

Result<std::vector<ElementRange>> elements_of_shards(const SafetensorsFile& file, const SparseTensors& tensors, Gate* gate) {
  const Result<std::vector<std::int32_t>> counts = count_elements(file, tensors, gate);
  if (!counts) return tl::unexpected(counts.error());
  return elements_of_shards(*counts, tensors);
}

SparseRowCounts::SparseRowCounts(std::shared_ptr<const SparseTensors> tensors, std::vector<ElementRange> shard_elements)
    : DerivedTensor(derived_name(tensors->indices, "rows"), {std::ssize(tensors->block_begins), tensors->out}, names_of(*tensors)),
      tensors_(std::move(tensors)),
      shard_elements_(std::move(shard_elements)) {}

Status SparseRowCounts::compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count, Gate& gate) const {
  const Result<std::vector<std::int32_t>> counts = count_elements(file, *tensors_, &gate);
  if (!counts) return tl::unexpected(counts.error());
  // Kernels read as many elements as the rows say.
  if (elements_of_shards(*counts, *tensors_) != shard_elements_) return error("E_CHANGED", "{}: it changed while it was read", file.name());
  std::copy_n(counts->begin() + row_begin * tensors_->out, row_count * tensors_->out, out);
  return {};
}

SparseColumns::SparseColumns(std::shared_ptr<const SparseTensors> tensors)
    : DerivedTensor(derived_name(tensors->indices, "columns"), {tensors->count()}, names_of(*tensors)), tensors_(std::move(tensors)) {}

Status SparseColumns::compute(float* out, const SafetensorsFile& file, std::int64_t, std::int64_t, Gate& gate) const {
  std::fill_n(out, tensors_->count(), 0.0f);
  return for_each_element(file, *tensors_, gate,
                          [&](std::int32_t element, std::int32_t column) { out[element] = static_cast<float>(column); });
}

SparseValues::SparseValues(std::shared_ptr<const SparseTensors> tensors)
    : DerivedTensor(tensors->values.name, {tensors->count()}, names_of(*tensors)), tensors_(std::move(tensors)) {}

Status SparseValues::compute(float* out, const SafetensorsFile& file, std::int64_t, std::int64_t, Gate& gate) const {
  const Result<std::vector<float>> values = read_all(file, tensors_->values);
  if (!values) return tl::unexpected(values.error());
  std::fill_n(out, tensors_->count(), 0.0f);
  auto value = values->begin();
  return for_each_element(file, *tensors_, gate, [&](std::int32_t element, std::int32_t) { out[element] = *value++; });
}

}  // namespace slora
