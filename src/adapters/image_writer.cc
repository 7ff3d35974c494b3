#include "adapters/image_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "formats/json.h"
#include "tensor/dtype.h"

namespace slora {
namespace {

constexpr std::int64_t kChunkElements = 1 << 16;  // read at a time, in whole rows; as fp32 they fit in L2

// Numbers of smaller magnitude are finite after rounding to `dtype`; false for NaN and infinity as well.
float bound_of(DType dtype) {
  switch (dtype) {
    case DType::f16:
      return 65520.0f;
    case DType::bf16:
      return 0x1.ffp127f;
    default:
      return std::numeric_limits<float>::infinity();
  }
}

// Whether every number's magnitude is below `bound`. Compares bits, where NaN is above infinity, without a branch in the loop, so that the
// compiler vectorizes it.
bool all_are_below(std::span<const float> values, float bound) {
  const auto bound_bits = std::bit_cast<std::int32_t>(bound);
  std::int32_t beyond = 0;
  for (const float value : values) beyond |= -static_cast<std::int32_t>((std::bit_cast<std::int32_t>(value) & 0x7fffffff) >= bound_bits);
  return beyond == 0;
}

// Rows [row_begin, row_begin + row_count) of a slice of a tensor, as fp32.
struct Chunk {
  std::int64_t row_begin;
  std::int64_t row_count;
  std::int64_t col_count;
  std::int64_t stride;  // elements from one row to the next: the columns of the tensor
  const float* values;  // [row_count, col_count]

  [[nodiscard]] const float* row(std::int64_t row) const { return values + (row - row_begin) * stride; }
};

// Reads tensors chunk by chunk, and hashes their bytes as it goes. One thread.
class TensorReader {
 public:
  TensorReader(const SafetensorsFile& file, Sha256& content) : file_(file), content_(content) {}

  // Reads the whole tensor, since the hash covers it, and calls take(chunk) with what lies in `slice`, from the first row to the last,
  // until take fails. E_NONFINITE when a magnitude anywhere in the tensor is not below `bound`.
  template <class Take>
  Status read(const TensorInfo& tensor, const SourceSlice& slice, float bound, Take take) {
    const std::int64_t rows = tensor.shape.size() == 2 ? tensor.shape[0] : 1;
    const std::int64_t cols = tensor.shape.back();
    check(slice.row_begin + slice.row_count <= rows && slice.col_begin + slice.col_count <= cols, "expected a slice within its tensor");
    const std::int64_t rows_per_chunk = std::max<std::int64_t>(1, kChunkElements / cols);
    const std::string header =
        fmt::format("{}:{} {} {} ", tensor.name.size(), tensor.name, name_of(tensor.dtype), fmt::join(tensor.shape, ","));
    content_.update(std::as_bytes(std::span(header)));
    for (std::int64_t row = 0; row < rows; row += rows_per_chunk) {
      const std::int64_t row_end = std::min(row + rows_per_chunk, rows);
      Result<const float*> values = next(tensor, row * cols, (row_end - row) * cols, bound);
      if (!values) return forward_error(values);
      const std::int64_t begin = std::max<std::int64_t>(row, slice.row_begin);
      const std::int64_t end = std::min<std::int64_t>(row_end, slice.row_begin + slice.row_count);
      if (begin >= end) continue;
      const float* const first = *values + (begin - row) * cols + slice.col_begin;
      if (Status taken = take(Chunk{begin - slice.row_begin, end - begin, slice.col_count, cols, first}); !taken) return taken;
    }
    return {};
  }

 private:
  // Elements [begin, begin + count) of the tensor.
  Result<const float*> next(const TensorInfo& tensor, std::int64_t begin, std::int64_t count, float bound) {
    const std::size_t element_bytes = bytes_of(tensor.dtype);
    bytes_.resize(static_cast<std::size_t>(count) * element_bytes);
    if (Status read = file_.read_part(tensor, static_cast<std::size_t>(begin) * element_bytes, bytes_); !read) return forward_error(read);
    content_.update(bytes_);
    values_.resize(static_cast<std::size_t>(count));
    convert_to_float(values_.data(), bytes_.data(), tensor.dtype, values_.size());
    if (all_are_below(values_, bound)) return values_.data();
    const auto bad = std::ranges::find_if_not(values_, [bound](float value) { return std::abs(value) < bound; });
    return error("E_NONFINITE", "tensor {}: expected finite numbers of a magnitude below {}, found {} at element {}", quote(tensor.name),
                 bound, *bad, begin + (bad - values_.begin()));
  }

  const SafetensorsFile& file_;
  Sha256& content_;
  std::vector<std::byte> bytes_;
  std::vector<float> values_;
};

// Writes to the places of one layout. One thread.
class ImageWriter {
 public:
  ImageWriter(std::span<std::byte* const> pages, const ImageLayout& layout) : pages_(pages), layout_(layout) {
    for (std::byte* page : pages_) std::fill_n(page, layout_.page_bytes, std::byte{0});
  }

  // Rows as they are.
  void write_rows(const StoredMatrix& matrix, const Chunk& chunk) {
    for (const ImageTile& tile : tiles_of(matrix)) {
      const std::int64_t begin = std::max<std::int64_t>(tile.row_begin, chunk.row_begin);
      const std::int64_t end = std::min<std::int64_t>(tile.row_begin + tile.row_count, chunk.row_begin + chunk.row_count);
      for (std::int64_t row = begin; row < end; ++row) {
        store(tile, (row - tile.row_begin) * tile.col_count, chunk.row(row) + tile.col_begin, tile.col_count);
      }
    }
  }

  // Rows of B [out, rank] as columns: stored row p, column o * interleave + j holds rank p * interleave + j of output o.
  void write_transposed(const StoredMatrix& matrix, const Chunk& chunk) {
    const std::int64_t interleave = layout_.format.b_interleave, rank = chunk.col_count;
    for (const ImageTile& tile : tiles_of(matrix)) {
      const std::int64_t begin = std::max<std::int64_t>(tile.col_begin, chunk.row_begin * interleave);
      const std::int64_t end = std::min<std::int64_t>(tile.col_begin + tile.col_count, (chunk.row_begin + chunk.row_count) * interleave);
      if (begin >= end) continue;
      const std::int64_t output_begin = begin / interleave, output_count = (end - begin) / interleave;
      line_.assign(static_cast<std::size_t>(end - begin), 0.0f);
      for (std::int64_t row = 0; row < tile.row_count; ++row) {
        for (std::int64_t j = 0; j < interleave; ++j) {
          const std::int64_t k = (tile.row_begin + row) * interleave + j;
          if (k < rank) {
            const float* column = chunk.row(output_begin) + k;
            for (std::int64_t i = 0; i < output_count; ++i) line_[static_cast<std::size_t>(i * interleave + j)] = column[i * chunk.stride];
          } else {
            for (std::int64_t i = 0; i < output_count; ++i) line_[static_cast<std::size_t>(i * interleave + j)] = 0.0f;
          }
        }
        store(tile, row * tile.col_count + begin - tile.col_begin, line_.data(), end - begin);
      }
    }
  }

  // Adds factor x a row to a stored vector. False when a sum is not finite.
  [[nodiscard]] bool add_vector(const StoredMatrix& vector, const Chunk& chunk, float factor) {
    const ImagePlace& place = tiles_of(vector).front().place;
    auto* sums = reinterpret_cast<float*>(pages_[place.page] + place.offset);  // [vector.cols]
    bool finite = true;
    for (std::int64_t i = 0; i < chunk.col_count; ++i) {
      sums[i] += factor * chunk.values[i];
      finite = finite && std::isfinite(sums[i]);
    }
    return finite;
  }

 private:
  [[nodiscard]] std::span<const ImageTile> tiles_of(const StoredMatrix& matrix) const {
    return std::span(layout_.tiles).subspan(static_cast<std::size_t>(matrix.tile_begin), static_cast<std::size_t>(matrix.tile_count));
  }

  void store(const ImageTile& tile, std::int64_t element, const float* values, std::int64_t count) {
    std::byte* place = pages_[tile.place.page] + tile.place.offset + static_cast<std::size_t>(element) * bytes_of(layout_.format.dtype);
    convert_from_float(place, layout_.format.dtype, values, static_cast<std::size_t>(count));
  }

  const std::span<std::byte* const> pages_;
  const ImageLayout& layout_;
  std::vector<float> line_;
};

// Where the numbers of a tensor go.
struct Destination {
  const AdapterRecord* record = nullptr;
  const AdapterPart* part = nullptr;
};

// [tensor_count]
std::vector<Destination> destinations_of(const ImageLayout& layout, std::size_t tensor_count) {
  std::vector<Destination> destinations(tensor_count);
  for (const AdapterRecord& record : layout.records) {
    for (const AdapterPart& part : record.parts) destinations.at(part.source.value) = {&record, &part};
  }
  return destinations;
}

Status write_part(ImageWriter& writer, TensorReader& reader, const TensorInfo& tensor, const Destination& destination, DType dtype) {
  const AdapterPart& part = *destination.part;
  switch (part.kind) {
    case PartKind::a:
      return reader.read(tensor, part.slice, bound_of(dtype), [&](const Chunk& chunk) -> Status {
        writer.write_rows(part.stored, chunk);
        return {};
      });
    case PartKind::b:
      return reader.read(tensor, part.slice, bound_of(dtype), [&](const Chunk& chunk) -> Status {
        writer.write_transposed(part.stored, chunk);
        return {};
      });
    case PartKind::bias_added:
    case PartKind::bias_replacing:
      break;
  }
  const float factor = part.kind == PartKind::bias_added ? destination.record->scale : 1.0f;
  return reader.read(tensor, part.slice, bound_of(DType::f32), [&](const Chunk& chunk) -> Status {
    if (writer.add_vector(part.stored, chunk, factor)) return {};
    return error("E_NONFINITE", "tensor {}: expected a finite bias, found one that overflows when scaled by {}", quote(tensor.name),
                 factor);
  });
}

}  // namespace

Status write_image(std::span<std::byte* const> pages, const ImageLayout& layout, const SafetensorsFile& file, Sha256& content) {
  check(pages.size() == layout.page_count, "expected as many pages as the layout has");
  ImageWriter writer(pages, layout);
  TensorReader reader(file, content);
  const std::vector<Destination> destinations = destinations_of(layout, file.tensors().size());
  for (std::size_t i = 0; i < destinations.size(); ++i) {
    check(destinations[i].part != nullptr, "expected a part for every tensor");
    if (Status status = write_part(writer, reader, file.tensors()[i], destinations[i], layout.format.dtype); !status) return status;
  }
  return {};
}

}  // namespace slora
