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

constexpr std::int64_t kChunkElements = 1 << 16;  // read at a time, in whole rows; as fp32 they stay in the second cache

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

// Whether every number's magnitude is below `bound`. Compares bits, in which NaN is above infinity, and has no branch in its loop, so that
// it becomes vector instructions.
bool all_are_below(std::span<const float> values, float bound) {
  const auto bound_bits = std::bit_cast<std::int32_t>(bound);
  std::int32_t beyond = 0;
  for (const float value : values) beyond |= -static_cast<std::int32_t>((std::bit_cast<std::int32_t>(value) & 0x7fffffff) >= bound_bits);
  return beyond == 0;
}

// Rows [row_begin, row_begin + row_count) of a tensor, as fp32.
struct Chunk {
  std::int64_t row_begin;
  std::int64_t row_count;
  std::int64_t cols;
  std::span<const float> values;  // [row_count, cols]
};

// Reads a tensor chunk by chunk, hashing the bytes on the way. One thread.
class TensorReader {
 public:
  TensorReader(const SafetensorsFile& file, Sha256& content) : file_(file), content_(content) {}

  // Calls take(chunk) from the first row to the last, until it fails. Every number's magnitude is below `bound`.
  template <class Take>
  Status read(const TensorInfo& tensor, float bound, Take take) {
    const std::int64_t rows = tensor.shape.size() == 2 ? tensor.shape[0] : 1;
    const std::int64_t cols = tensor.shape.back();
    const std::int64_t rows_per_chunk = std::max<std::int64_t>(1, kChunkElements / cols);
    const std::string header =
        fmt::format("{}:{} {} {} ", tensor.name.size(), tensor.name, name_of(tensor.dtype), fmt::join(tensor.shape, ","));
    content_.update(std::as_bytes(std::span(header)));
    for (std::int64_t row = 0; row < rows; row += rows_per_chunk) {
      const Chunk chunk{row, std::min(rows_per_chunk, rows - row), cols, {}};
      Result<std::span<const float>> values = next(tensor, chunk, bound);
      if (!values) return forward_error(values);
      if (Status taken = take(Chunk{chunk.row_begin, chunk.row_count, cols, *values}); !taken) return taken;
    }
    return {};
  }

 private:
  Result<std::span<const float>> next(const TensorInfo& tensor, const Chunk& chunk, float bound) {
    const auto begin = static_cast<std::size_t>(chunk.row_begin * chunk.cols),
               count = static_cast<std::size_t>(chunk.row_count * chunk.cols);
    const std::size_t element_bytes = bytes_of(tensor.dtype);
    bytes_.resize(count * element_bytes);
    if (Status read = file_.read_part(tensor, begin * element_bytes, bytes_); !read) return forward_error(read);
    content_.update(bytes_);
    values_.resize(count);
    convert_to_float(values_.data(), bytes_.data(), tensor.dtype, count);
    if (all_are_below(values_, bound)) return std::span<const float>(values_);
    const auto bad = std::ranges::find_if_not(values_, [bound](float value) { return std::abs(value) < bound; });
    return error("E_NONFINITE", "tensor {}: expected finite numbers of a magnitude below {}, found {} at element {}", quote(tensor.name),
                 bound, *bad, begin + static_cast<std::size_t>(bad - values_.begin()));
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

  // Rows of A [rank, in] as they are.
  void write_a(const ImageMatrix& matrix, const Chunk& chunk) {
    for (const ImageTile& tile : tiles_of(matrix)) {
      const std::int64_t begin = std::max<std::int64_t>(tile.row_begin, chunk.row_begin);
      const std::int64_t end = std::min<std::int64_t>(tile.row_begin + tile.row_count, chunk.row_begin + chunk.row_count);
      for (std::int64_t row = begin; row < end; ++row) {
        const float* values = &chunk.values[static_cast<std::size_t>((row - chunk.row_begin) * chunk.cols + tile.col_begin)];
        store(tile, (row - tile.row_begin) * tile.col_count, values, tile.col_count);
      }
    }
  }

  // Rows of B [out, rank], which become columns: stored row p, column o * interleave + j holds rank p * interleave + j of output o.
  void write_b(const ImageMatrix& matrix, const Chunk& chunk) {
    const std::int64_t interleave = layout_.format.b_interleave, rank = chunk.cols;
    for (const ImageTile& tile : tiles_of(matrix)) {
      const std::int64_t begin = std::max<std::int64_t>(tile.col_begin, chunk.row_begin * interleave);
      const std::int64_t end = std::min<std::int64_t>(tile.col_begin + tile.col_count, (chunk.row_begin + chunk.row_count) * interleave);
      if (begin >= end) continue;
      const std::int64_t output_begin = begin / interleave - chunk.row_begin, output_count = (end - begin) / interleave;
      line_.assign(static_cast<std::size_t>(end - begin), 0.0f);
      for (std::int64_t row = 0; row < tile.row_count; ++row) {
        for (std::int64_t j = 0; j < interleave; ++j) {
          const std::int64_t k = (tile.row_begin + row) * interleave + j;
          if (k < rank) {
            const float* column = &chunk.values[static_cast<std::size_t>(output_begin * rank + k)];
            for (std::int64_t i = 0; i < output_count; ++i) line_[static_cast<std::size_t>(i * interleave + j)] = column[i * rank];
          } else {
            for (std::int64_t i = 0; i < output_count; ++i) line_[static_cast<std::size_t>(i * interleave + j)] = 0.0f;
          }
        }
        store(tile, row * tile.col_count + begin - tile.col_begin, line_.data(), end - begin);
      }
    }
  }

  // Adds factor x values [out] to a bias. False when a sum is not finite.
  [[nodiscard]] bool add_bias(ImagePlace place, const Chunk& chunk, float factor) {
    auto* bias = reinterpret_cast<float*>(pages_[place.page] + place.offset);  // [out]
    bool finite = true;
    for (std::size_t i = 0; i < chunk.values.size(); ++i) {
      bias[i] += factor * chunk.values[i];
      finite = finite && std::isfinite(bias[i]);
    }
    return finite;
  }

 private:
  [[nodiscard]] std::span<const ImageTile> tiles_of(const ImageMatrix& matrix) const {
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

enum class Part : std::uint8_t { a, b, bias_added, bias_replacing };

struct Destination {
  const ImageRecord* record = nullptr;
  Part part = Part::a;
};

// [tensors of the file]: where each belongs.
std::vector<Destination> destinations_of(const ImageLayout& layout, std::size_t tensor_count) {
  std::vector<Destination> destinations(tensor_count);
  for (const ImageRecord& placed : layout.records) {
    const AdapterRecord& record = placed.record;
    for (const auto& [source, part] :
         {std::pair(record.a, Part::a), std::pair(record.b, Part::b), std::pair(record.bias_added, Part::bias_added),
          std::pair(record.bias_replacing, Part::bias_replacing)}) {
      if (source) destinations.at(source->value) = {&placed, part};
    }
  }
  return destinations;
}

Status write_tensor(ImageWriter& writer, TensorReader& reader, const TensorInfo& tensor, const Destination& destination, DType dtype) {
  const ImageRecord& placed = *destination.record;
  switch (destination.part) {
    case Part::a:
      return reader.read(tensor, bound_of(dtype), [&](const Chunk& chunk) -> Status {
        writer.write_a(placed.a, chunk);
        return {};
      });
    case Part::b:
      return reader.read(tensor, bound_of(dtype), [&](const Chunk& chunk) -> Status {
        writer.write_b(placed.b, chunk);
        return {};
      });
    case Part::bias_added:
    case Part::bias_replacing:
      break;
  }
  const float factor = destination.part == Part::bias_added ? placed.record.scale : 1.0f;
  return reader.read(tensor, bound_of(DType::f32), [&](const Chunk& chunk) -> Status {
    if (writer.add_bias(*placed.bias, chunk, factor)) return {};
    return error("E_NONFINITE", "tensor {}: expected a finite bias, found one that overflows when scaled by {}", quote(tensor.name),
                 factor);
  });
}

}  // namespace

Status write_image(std::span<std::byte* const> pages, const ImageLayout& layout, const SafetensorsFile& file, Sha256& content) {
  check(pages.size() == layout.page_count, "as many pages as the layout wants");
  ImageWriter writer(pages, layout);
  TensorReader reader(file, content);
  const std::vector<Destination> destinations = destinations_of(layout, file.tensors().size());
  for (std::size_t i = 0; i < destinations.size(); ++i) {
    check(destinations[i].record != nullptr, "a place for every tensor");
    if (Status status = write_tensor(writer, reader, file.tensors()[i], destinations[i], layout.format.dtype); !status) return status;
  }
  return {};
}

}  // namespace slora
