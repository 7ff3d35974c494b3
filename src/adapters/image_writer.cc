#include "adapters/image_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
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

// What an update W + scale B A may add to an element of W, and what its parts and biases may hold: the square of a larger number overflows
// in fp32, and the norm that follows computes squares.
constexpr float kMagnitudeMax = 0x1p64f;

// The largest magnitude, where NaN is above infinity. Compares bits without a branch in the loop, so that the compiler vectorizes it.
float largest_magnitude(std::span<const float> values) {
  std::int32_t largest = 0;
  for (const float value : values) largest = std::max(largest, std::bit_cast<std::int32_t>(value) & 0x7fffffff);
  return std::bit_cast<float>(largest);
}

// Rows [row_begin, row_begin + row_count) of a tensor, or of a slice of it, as fp32.
struct Chunk {
  std::int64_t row_begin;
  std::int64_t row_count;
  std::int64_t col_count;
  std::int64_t stride;  // elements from one row to the next: the columns of the tensor
  const float* values;  // [row_count, col_count]

  [[nodiscard]] const float* row(std::int64_t row) const { return values + (row - row_begin) * stride; }
};

// What lies in `slice` of rows of a whole tensor, counted from the slice's first row; maybe no rows.
Chunk sliced(const Chunk& chunk, const SourceSlice& slice) {
  const std::int64_t begin = std::max<std::int64_t>(chunk.row_begin, slice.row_begin);
  const std::int64_t end = std::min<std::int64_t>(chunk.row_begin + chunk.row_count, slice.row_begin + slice.row_count);
  if (begin >= end) return {0, 0, slice.col_count, chunk.stride, nullptr};
  return {begin - slice.row_begin, end - begin, slice.col_count, chunk.stride, chunk.row(begin) + slice.col_begin};
}

// Reads tensors chunk by chunk, and hashes their bytes as it goes. One thread.
class TensorReader {
 public:
  TensorReader(const SafetensorsFile& file, Sha256& content) : file_(file), content_(content) {}

  // Calls take(chunk) with all rows of the tensor, from the first to the last, until take fails, and gives the largest magnitude.
  // E_NONFINITE when a magnitude is not below `bound`.
  template <class Take>
  Result<float> read(const TensorInfo& tensor, float bound, Take take) {
    largest_ = 0;
    hash_header(tensor);
    const std::int64_t rows = tensor.shape.size() == 2 ? tensor.shape[0] : 1;
    const std::int64_t cols = tensor.shape.back();
    const std::int64_t rows_per_chunk = std::max<std::int64_t>(1, kChunkElements / cols);
    for (std::int64_t row = 0; row < rows; row += rows_per_chunk) {
      const std::int64_t row_end = std::min(row + rows_per_chunk, rows);
      Result<const float*> values = next(tensor, row * cols, (row_end - row) * cols, bound);
      if (!values) return forward_error(values);
      if (Status taken = take(Chunk{row, row_end - row, cols, cols, *values}); !taken) return forward_error(taken);
    }
    return largest_;
  }

  // Only hashes a tensor, of any type.
  Status skip(const TensorInfo& tensor, Gate& gate) {
    hash_header(tensor);
    for (std::uint64_t begin = 0; begin < tensor.bytes; begin += bytes_.size()) {
      bytes_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(tensor.bytes - begin, kChunkElements)));
      if (Status read = file_.read_part(tensor, begin, bytes_); !read) return read;
      content_.update(bytes_);
      if (!gate.pass([] {})) return error("E_READ", "{}: reading it took too long", file_.name());
    }
    return {};
  }

 private:
  void hash_header(const TensorInfo& tensor) {
    const std::string header =
        fmt::format("{}:{} {} {} ", tensor.name.size(), tensor.name, name_of(tensor.dtype), fmt::join(tensor.shape, ","));
    content_.update(std::as_bytes(std::span(header)));
  }

  // Elements [begin, begin + count) of the tensor.
  Result<const float*> next(const TensorInfo& tensor, std::int64_t begin, std::int64_t count, float bound) {
    const std::size_t element_bytes = bytes_of(tensor.dtype);
    bytes_.resize(static_cast<std::size_t>(count) * element_bytes);
    if (Status read = file_.read_part(tensor, static_cast<std::size_t>(begin) * element_bytes, bytes_); !read) return forward_error(read);
    content_.update(bytes_);
    values_.resize(static_cast<std::size_t>(count));
    convert_to_float(values_.data(), bytes_.data(), tensor.dtype, values_.size());
    const float largest = largest_magnitude(values_);
    if (largest < bound) {
      largest_ = std::max(largest_, largest);
      return values_.data();
    }
    const auto bad = std::ranges::find_if_not(values_, [bound](float value) { return std::abs(value) < bound; });
    return error("E_NONFINITE", "tensor {}: expected finite numbers of a magnitude below {}, found {} at element {}", quote(tensor.name),
                 bound, *bad, begin + (bad - values_.begin()));
  }

  const SafetensorsFile& file_;
  Sha256& content_;
  std::vector<std::byte> bytes_;
  std::vector<float> values_;
  float largest_ = 0;  // of the tensor that is read
};

// Writes to the places of one layout. One thread.
class ImageWriter {
 public:
  explicit ImageWriter(const ImageTarget& target) : pages_(target.pages.first(target.layout->page_count)), layout_(*target.layout) {
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

  // Rows of B [out, rank] as columns: stored row p, column o * interleave + j holds rank p * interleave + j of output o. A few outputs at a
  // time, whose ranks stay in L1 while they are read in steps of a whole row.
  void write_transposed(const StoredMatrix& matrix, const Chunk& chunk) {
    const std::int64_t interleave = layout_.format.b_interleave;
    check(interleave <= kInterleaveMax, "expected a known interleave of B");
    for (const ImageTile& tile : tiles_of(matrix)) {
      const std::int64_t begin = std::max<std::int64_t>(tile.col_begin / interleave, chunk.row_begin);
      const std::int64_t end = std::min<std::int64_t>((tile.col_begin + tile.col_count) / interleave, chunk.row_begin + chunk.row_count);
      for (std::int64_t output = begin; output < end; output += kOutputs) {
        write_outputs(tile, chunk, output, std::min(kOutputs, end - output));
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
  static constexpr std::int64_t kOutputs = 32;
  static constexpr std::int64_t kInterleaveMax = 2;

  [[nodiscard]] std::span<const ImageTile> tiles_of(const StoredMatrix& matrix) const {
    return std::span(layout_.tiles).subspan(static_cast<std::size_t>(matrix.tile_begin), static_cast<std::size_t>(matrix.tile_count));
  }

  // Outputs [begin, begin + count) of B, in all rows of a tile.
  void write_outputs(const ImageTile& tile, const Chunk& chunk, std::int64_t begin, std::int64_t count) {
    const std::int64_t interleave = layout_.format.b_interleave;
    std::array<float, kOutputs * kInterleaveMax> line;
    for (std::int64_t row = 0; row < tile.row_count; ++row) {
      for (std::int64_t j = 0; j < interleave; ++j) {
        const std::int64_t k = (tile.row_begin + row) * interleave + j;
        const bool exists = k < chunk.col_count;
        const float* const column = chunk.row(begin) + (exists ? k : 0);
        float* const to = line.data() + j;
        for (std::int64_t i = 0; i < count; ++i) to[i * interleave] = exists ? column[i * chunk.stride] : 0.0f;
      }
      store(tile, row * tile.col_count + begin * interleave - tile.col_begin, line.data(), count * interleave);
    }
  }

  void store(const ImageTile& tile, std::int64_t element, const float* values, std::int64_t count) {
    std::byte* place = pages_[tile.place.page] + tile.place.offset + static_cast<std::size_t>(element) * bytes_of(layout_.format.dtype);
    convert_from_float(place, layout_.format.dtype, values, static_cast<std::size_t>(count));
  }

  const ImagePages pages_;
  const ImageLayout& layout_;
};

// Where numbers of a tensor go.
struct Destination {
  ImageWriter* writer;
  const AdapterRecord* record;
  const AdapterPart* part;
};
using Destinations = std::vector<std::vector<Destination>>;  // [tensors of the file]

void add_destinations(Destinations& out, ImageWriter& writer, const ImageLayout& layout) {
  for (const AdapterRecord& record : layout.records) {
    for (const AdapterPart& part : record.parts) out.at(part.source.value).push_back({&writer, &record, &part});
  }
}

Status write_part(const Destination& to, const Chunk& whole, const TensorInfo& tensor) {
  const AdapterPart& part = *to.part;
  const Chunk chunk = sliced(whole, part.slice);
  if (chunk.row_count == 0) return {};
  switch (part.kind) {
    case PartKind::a:
      to.writer->write_rows(part.stored, chunk);
      return {};
    case PartKind::b:
      to.writer->write_transposed(part.stored, chunk);
      return {};
    case PartKind::bias_added:
    case PartKind::bias_replacing:
      break;
  }
  const float factor = part.kind == PartKind::bias_added ? to.record->scale : 1.0f;
  if (to.writer->add_vector(part.stored, chunk, factor)) return {};
  return error("E_NONFINITE", "tensor {}: expected a finite bias, found one that overflows when scaled by {}", quote(tensor.name), factor);
}

bool is_matrix(PartKind kind) { return kind == PartKind::a || kind == PartKind::b; }

// Refuses finite numbers that overflow as soon as they are used. largest [tensors of the file].
Status check_magnitudes(std::span<const ImageTarget> targets, const SafetensorsFile& file, std::span<const float> largest) {
  struct Product {
    std::uint32_t a = 0, b = 0;
    float scale = 1;
  };
  std::map<std::int32_t, Product> products;  // by module: shards may split its A and B over records
  const auto refuse = [&](std::uint32_t tensor, std::string_view what, double found) {
    return error("E_NONFINITE", "tensor {}: expected {} of a magnitude below {:.3g}, found up to {:.3g}: activations would overflow",
                 quote(file.tensors()[tensor].name), what, kMagnitudeMax, found);
  };
  for (const ImageTarget& target : targets) {
    for (const AdapterRecord& record : target.layout->records) {
      for (const AdapterPart& part : record.parts) {
        const std::uint32_t tensor = part.source.value;
        const bool is_scaled = part.kind == PartKind::b || part.kind == PartKind::bias_added;
        const double found = double{largest[tensor]} * (is_scaled ? std::abs(record.scale) : 1.0f);
        if (found >= kMagnitudeMax) return refuse(tensor, is_scaled ? "numbers that are, once scaled," : "numbers", found);
        if (!is_matrix(part.kind)) continue;
        Product& product = products[record.module];
        (part.kind == PartKind::a ? product.a : product.b) = tensor;
        product.scale = std::abs(record.scale);
      }
    }
  }
  for (const auto& [module, product] : products) {
    const double found = double{largest[product.a]} * largest[product.b] * product.scale;
    if (found >= kMagnitudeMax) return refuse(product.b, "products with lora_A that are, once scaled,", found);
  }
  return {};
}

}  // namespace

Status write_images(std::span<const ImageTarget> targets, const SafetensorsFile& file, Sha256& content, Gate& gate) {
  const auto closed = [&] { return error("E_READ", "{}: reading it took too long", file.name()); };
  Destinations destinations(file.tensors().size());
  std::vector<std::unique_ptr<ImageWriter>> writers;
  for (const ImageTarget& target : targets) {
    check(target.pages.size() >= target.layout->page_count, "expected as many pages as the layout has");
    if (!gate.pass([&] { writers.push_back(std::make_unique<ImageWriter>(target)); })) return closed();
    add_destinations(destinations, *writers.back(), *target.layout);
  }
  TensorReader reader(file, content);
  std::vector<float> largest;
  for (std::size_t i = 0; i < destinations.size(); ++i) {
    const TensorInfo& tensor = file.tensors()[i];
    if (destinations[i].empty()) {
      if (Status skipped = reader.skip(tensor, gate); !skipped) return skipped;
      largest.push_back(0);
      continue;
    }
    const DType dtype = is_matrix(destinations[i].front().part->kind) ? targets.front().layout->format.dtype : DType::f32;
    Result<float> read = reader.read(tensor, bound_of(dtype), [&](const Chunk& chunk) -> Status {
      Status written;
      const auto write = [&] {
        for (std::size_t j = 0; j < destinations[i].size() && written; ++j) written = write_part(destinations[i][j], chunk, tensor);
      };
      if (!gate.pass(write)) return closed();
      return written;
    });
    if (!read) return forward_error(read);
    largest.push_back(*read);
  }
  return check_magnitudes(targets, file, largest);
}

}  // namespace slora
