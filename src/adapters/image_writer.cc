#include "adapters/image_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adapters/image_magnitudes.h"
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
  std::int64_t stride;    // elements from one row to the next: the columns of the tensor
  std::int64_t col_step;  // elements from one column to the next
  const float* values;    // [row_count, col_count]

  [[nodiscard]] const float* row(std::int64_t row) const { return values + (row - row_begin) * stride; }
};

// What lies in a part's slice of rows of a whole tensor, counted from the slice's first row; maybe no rows.
Chunk sliced(const Chunk& chunk, const AdapterPart& part) {
  const SourceSlice& slice = part.slice;
  const std::int64_t step = part.origin.col_step, first = std::int64_t{part.origin.row_begin} + slice.row_begin;
  const std::int64_t begin = std::max<std::int64_t>(chunk.row_begin, first);
  const std::int64_t end = std::min<std::int64_t>(chunk.row_begin + chunk.row_count, first + slice.row_count);
  if (begin >= end) return {0, 0, slice.col_count, chunk.stride, step, nullptr};
  return {begin - first, end - begin, slice.col_count,
          chunk.stride,  step,        chunk.row(begin) + part.origin.col_begin + step * slice.col_begin};
}

// Reads tensors chunk by chunk, and hashes their bytes as it goes. One thread.
class TensorReader {
 public:
  TensorReader(const SafetensorsFile& file, Sha256& content, Gate& gate) : file_(file), content_(content), gate_(gate) {}

  // Calls take(chunk) with all rows of the tensor, from the first to the last, until take fails, and gives the largest magnitude.
  // E_NONFINITE when a magnitude is not below `bound`.
  template <class Take>
  Result<float> read(const TensorInfo& tensor, float bound, Take take) {
    hash_header(tensor);
    return read_chunks(tensor.name, tensor.shape, bound, take, [&](std::int64_t row_begin, std::int64_t row_count) -> Status {
      const std::int64_t cols = tensor.shape.back();
      const std::size_t element_bytes = bytes_of(tensor.dtype);
      bytes_.resize(static_cast<std::size_t>(row_count * cols) * element_bytes);
      if (Status read = file_.read_part(tensor, static_cast<std::size_t>(row_begin * cols) * element_bytes, bytes_); !read) return read;
      content_.update(bytes_);
      convert_to_float(values_.data(), bytes_.data(), tensor.dtype, values_.size());
      return {};
    });
  }

  // The same of a derived tensor, which is not hashed: what it is made of is.
  template <class Take>
  Result<float> read(const DerivedTensor& tensor, float bound, Take take) {
    return read_chunks(tensor.name(), tensor.shape(), bound, take, [&](std::int64_t row_begin, std::int64_t row_count) {
      return tensor.compute(values_.data(), file_, row_begin, row_count, gate_);
    });
  }

  // Only hashes a tensor, of any type.
  Status skip(const TensorInfo& tensor) {
    hash_header(tensor);
    for (std::uint64_t begin = 0; begin < tensor.bytes; begin += bytes_.size()) {
      bytes_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(tensor.bytes - begin, kChunkElements)));
      if (Status read = file_.read_part(tensor, begin, bytes_); !read) return read;
      content_.update(bytes_);
      if (!gate_.pass([] {})) return error("E_READ", "{}: reading it took too long", file_.name());
    }
    return {};
  }

 private:
  void hash_header(const TensorInfo& tensor) {
    const std::string header =
        fmt::format("{}:{} {} {} ", tensor.name.size(), tensor.name, name_of(tensor.dtype), fmt::join(tensor.shape, ","));
    content_.update(std::as_bytes(std::span(header)));
  }

  // fill(row_begin, row_count) fills values_, which has the size of these rows.
  template <class Take, class Fill>
  Result<float> read_chunks(std::string_view name, std::span<const std::int64_t> shape, float bound, Take take, Fill fill) {
    const std::int64_t rows = shape.size() == 2 ? shape[0] : 1;
    const std::int64_t cols = shape.back();
    const std::int64_t rows_per_chunk = std::max<std::int64_t>(1, kChunkElements / cols);
    float largest = 0;
    for (std::int64_t row = 0; row < rows; row += rows_per_chunk) {
      const std::int64_t row_count = std::min(rows_per_chunk, rows - row);
      values_.resize(static_cast<std::size_t>(row_count * cols));
      if (Status filled = fill(row, row_count); !filled) return forward_error(filled);
      const float magnitude = largest_magnitude(values_);
      if (!(magnitude < bound)) return refuse(name, bound, row * cols);
      largest = std::max(largest, magnitude);
      if (Status taken = take(Chunk{row, row_count, cols, cols, 1, values_.data()}); !taken) return forward_error(taken);
    }
    return largest;
  }

  tl::unexpected<Error> refuse(std::string_view name, float bound, std::int64_t first_element) const {
    const auto bad = std::ranges::find_if_not(values_, [bound](float value) { return std::abs(value) < bound; });
    const std::string limit = std::isinf(bound) ? "" : fmt::format(" of a magnitude below {}", bound);
    return error("E_NONFINITE", "tensor {}: expected finite numbers{}, found {} at element {}", quote(name), limit, *bad,
                 first_element + (bad - values_.begin()));
  }

  const SafetensorsFile& file_;
  Sha256& content_;
  Gate& gate_;
  std::vector<std::byte> bytes_;
  std::vector<float> values_;
};

std::uint32_t page_count_of(const ImageTarget& target) {
  return target.shared == SharedPart::write ? target.layout->page_count : target.layout->own_page_count();
}

// Writes to the places of one layout. One thread.
class ImageWriter {
 public:
  explicit ImageWriter(const ImageTarget& target)
      : pages_(target.pages.first(page_count_of(target))), layout_(*target.layout), shared_(target.shared) {
    for (std::byte* page : pages_) std::fill_n(page, layout_.page_bytes, std::byte{0});
  }

  [[nodiscard]] bool writes(const AdapterPart& part) const { return !part.is_shared || shared_ == SharedPart::write; }

  // Rows as they are.
  void write_rows(const StoredMatrix& matrix, const Chunk& chunk) {
    check(chunk.col_step == 1, "expected rows without gaps");
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

  void write_vector(const StoredMatrix& vector, const Chunk& chunk, float offset) {
    std::transform(chunk.values, chunk.values + chunk.col_count, vector_at(vector), [=](float value) { return value + offset; });
  }

  // Requires: whole numbers.
  void write_ids(const StoredMatrix& vector, const Chunk& chunk, std::int32_t offset) {
    auto* const ids = reinterpret_cast<std::int32_t*>(vector_at(vector));
    for (std::int64_t i = 0; i < chunk.col_count; ++i) ids[i] = static_cast<std::int32_t>(chunk.values[i]) - offset;
  }

  // Where each row of a sparse matrix ends, from the elements that the rows have.
  void write_row_ends(const StoredMatrix& vector, const Chunk& chunk) {
    auto* const ends = reinterpret_cast<std::int32_t*>(vector_at(vector));
    std::int32_t end = 0;
    for (std::int64_t i = 0; i < chunk.col_count; ++i) ends[i] = end += static_cast<std::int32_t>(chunk.values[i]);
  }

  void write_columns(const StoredMatrix& row, const Chunk& chunk) {
    for (const ImageTile& tile : tiles_of(row)) {
      const float* const from = chunk.values + tile.col_begin;
      std::byte* const to = pages_[tile.place.page] + tile.place.offset;
      if (row.dtype == DType::u16) {
        std::transform(from, from + tile.col_count, reinterpret_cast<std::uint16_t*>(to),
                       [](float v) { return static_cast<std::uint16_t>(v); });
      } else {
        std::transform(from, from + tile.col_count, reinterpret_cast<std::int32_t*>(to),
                       [](float v) { return static_cast<std::int32_t>(v); });
      }
    }
  }

  // Adds factor x a row to a stored vector. False when a sum is not finite.
  [[nodiscard]] bool add_vector(const StoredMatrix& vector, const Chunk& chunk, float factor) {
    float* const sums = vector_at(vector);
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

  [[nodiscard]] float* vector_at(const StoredMatrix& vector) const {  // [vector.cols]
    const ImagePlace& place = tiles_of(vector).front().place;
    return reinterpret_cast<float*>(pages_[place.page] + place.offset);
  }

  // Outputs [begin, begin + count) of B, in all rows of a tile.
  void write_outputs(const ImageTile& tile, const Chunk& chunk, std::int64_t begin, std::int64_t count) {
    const std::int64_t interleave = layout_.format.b_interleave;
    std::array<float, kOutputs * kInterleaveMax> line;
    for (std::int64_t row = 0; row < tile.row_count; ++row) {
      for (std::int64_t j = 0; j < interleave; ++j) {
        const std::int64_t k = (tile.row_begin + row) * interleave + j;
        const bool exists = k < chunk.col_count;
        const float* const column = chunk.row(begin) + (exists ? k * chunk.col_step : 0);
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
  const SharedPart shared_;
};

// Where numbers of a tensor go.
struct Destination {
  ImageWriter* writer;
  const AdapterRecord* record;
  const AdapterPart* part;
};
using Destinations = std::vector<std::vector<Destination>>;  // [tensors of the file and derived ones]

void add_destinations(Destinations& out, ImageWriter& writer, const ImageLayout& layout) {
  for (const AdapterRecord& record : layout.records) {
    for (const AdapterPart& part : record.parts) {
      if (!part.shares_storage) out.at(part.source.value).push_back({&writer, &record, &part});
    }
  }
}

Status write_part(const Destination& to, const Chunk& whole, std::string_view name) {
  const AdapterPart& part = *to.part;
  const Chunk chunk = sliced(whole, part);
  if (chunk.row_count == 0 || !to.writer->writes(part)) return {};
  switch (part.kind) {
    case PartKind::a:
    case PartKind::values:
    case PartKind::rows:
    case PartKind::added_rows:
      to.writer->write_rows(part.stored, chunk);
      return {};
    case PartKind::b:
      to.writer->write_transposed(part.stored, chunk);
      return {};
    case PartKind::input_gain:
    case PartKind::rank_gain:
    case PartKind::delta_gain:
    case PartKind::gain:
      to.writer->write_vector(part.stored, chunk, part.offset);
      return {};
    case PartKind::row_counts:
      to.writer->write_row_ends(part.stored, chunk);
      return {};
    case PartKind::columns:
      to.writer->write_columns(part.stored, chunk);
      return {};
    case PartKind::row_ids:
      to.writer->write_ids(part.stored, chunk, to.record->row_offset);
      return {};
    case PartKind::bias_added:
    case PartKind::bias_replacing:
      break;
  }
  const float factor = part.kind == PartKind::bias_added ? to.record->scale : 1.0f;
  if (to.writer->add_vector(part.stored, chunk, factor)) return {};
  return error("E_NONFINITE", "tensor {}: expected a finite bias, found one that overflows when scaled by {}", quote(name), factor);
}

// Whether an image holds it in the element type of its format.
bool is_matrix(PartKind kind) {
  constexpr std::array kKinds = {PartKind::a, PartKind::b, PartKind::values, PartKind::rows, PartKind::added_rows};
  return std::ranges::find(kKinds, kind) != kKinds.end();
}

}  // namespace

Status write_images(std::span<const ImageTarget> targets, const SafetensorsFile& file,
                    std::span<const std::shared_ptr<const DerivedTensor>> derived, Sha256& content, Gate& gate) {
  const auto closed = [&] { return error("E_READ", "{}: reading it took too long", file.name()); };
  const std::size_t file_count = file.tensors().size();
  Destinations destinations(file_count + derived.size());
  std::vector<std::unique_ptr<ImageWriter>> writers;
  for (const ImageTarget& target : targets) {
    check(target.pages.size() >= page_count_of(target), "expected as many pages as the layout has");
    if (!gate.pass([&] { writers.push_back(std::make_unique<ImageWriter>(target)); })) return closed();
    add_destinations(destinations, *writers.back(), *target.layout);
  }
  TensorReader reader(file, content, gate);
  std::vector<std::string_view> names;
  std::vector<float> largest;
  // Writes a tensor, of the file or derived, to its places.
  const auto write = [&](const auto& tensor, std::string_view name, std::span<const Destination> places) -> Status {
    const DType dtype = is_matrix(places.front().part->kind) ? targets.front().layout->format.dtype : DType::f32;
    Result<float> read = reader.read(tensor, bound_of(dtype), [&](const Chunk& chunk) -> Status {
      Status written;
      const auto write_all = [&] {
        for (std::size_t i = 0; i < places.size() && written; ++i) written = write_part(places[i], chunk, name);
      };
      if (!gate.pass(write_all)) return closed();
      return written;
    });
    if (!read) return forward_error(read);
    largest.push_back(*read);
    return {};
  };
  for (std::size_t i = 0; i < file_count; ++i) {
    const TensorInfo& tensor = file.tensors()[i];
    names.push_back(tensor.name);
    if (destinations[i].empty()) {
      if (Status skipped = reader.skip(tensor); !skipped) return skipped;
      largest.push_back(0);
    } else if (Status written = write(tensor, tensor.name, destinations[i]); !written) {
      return written;
    }
  }
  for (std::size_t i = 0; i < derived.size(); ++i) {
    names.push_back(derived[i]->name());
    if (destinations[file_count + i].empty()) {
      largest.push_back(0);
    } else if (Status written = write(*derived[i], names.back(), destinations[file_count + i]); !written) {
      return written;
    }
  }
  return check_magnitudes(targets, names, largest);
}

}  // namespace slora
