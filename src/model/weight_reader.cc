#include "model/weight_reader.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>

#include "base/caught.h"
#include "base/check.h"
#include "formats/json.h"
#include "tensor/finite.h"
#include "tensor/int4.h"

namespace slora {
namespace {

constexpr std::uint64_t kChunkBytes = std::uint64_t{1} << 20;  // stays in a core's cache between reading and packing
constexpr std::int64_t kRowGroup = 64;                         // rows that a backend packs best together
constexpr std::int64_t kRowGroupMin = 32;                      // of wide rows, even when these are beyond a chunk

}  // namespace

const ModelTensor& WeightReader::find(const std::string& name) const {
  const ModelTensor* tensor = files_.find(name);
  check(tensor != nullptr, "expected a tensor of the files");
  return *tensor;
}

void WeightReader::add_vector(std::span<float> out, const std::string& name, std::int64_t begin) {
  const ModelTensor& tensor = find(name);
  const std::uint64_t element_bytes = bytes_of(tensor.info.dtype);
  const std::uint64_t first = static_cast<std::uint64_t>(begin) * element_bytes, bytes = out.size() * element_bytes;
  check(begin >= 0 && first + bytes <= tensor.info.bytes, "expected a part of the vector");
  if (!out.empty()) chunks_.push_back({&tensor, first, bytes, nullptr, 0, 0, 0, out.data()});
}

void WeightReader::add_matrix(LinearWeight& weight, std::int64_t row_begin, const std::string& name, Slice rows, Slice columns) {
  const ModelTensor& tensor = find(name);
  check(tensor.info.shape.size() == 2 && rows.end() <= tensor.info.shape[0] && columns.end() <= tensor.info.shape[1],
        "expected a part of the matrix");
  check(columns.count == weight.in && row_begin + rows.count <= weight.out, "expected a part that fits the weight");
  const std::int64_t tensor_cols = tensor.info.shape[1];
  const std::uint64_t row_bytes = static_cast<std::uint64_t>(tensor_cols) * bytes_of(tensor.info.dtype);
  const auto fitting = static_cast<std::int64_t>(kChunkBytes / row_bytes);
  const std::int64_t rows_at_once = tensor.form != nullptr ? tensor.form->rows_at_once() : 1;
  const std::int64_t rows_per_chunk = std::max(fitting < kRowGroup ? kRowGroupMin : fitting / kRowGroup * kRowGroup, rows_at_once);
  for (std::int64_t row = 0; row < rows.count; row += rows_per_chunk) {
    const auto count = static_cast<std::uint64_t>(std::min(rows_per_chunk, rows.count - row));
    const std::uint64_t begin = static_cast<std::uint64_t>(rows.begin + row) * row_bytes;
    chunks_.push_back({&tensor, begin, count * row_bytes, &weight, row_begin + row, tensor_cols, columns.begin, nullptr});
  }
}

// Scales and offsets of four bits are in f16.
Status WeightReader::check_int4_range(const Chunk& chunk, std::span<const std::byte> bytes) const {
  const DType dtype = chunk.tensor->info.dtype;
  for (std::size_t at = 0; at < bytes.size(); at += bytes_of(dtype)) {
    float value = 0;
    convert_to_float(&value, bytes.data() + at, dtype, 1);
    if (std::abs(value) <= kInt4NumberMax) continue;
    return error("E_RANGE", "{}: tensor {}: --weights int4 keeps numbers up to {}, found {} at element {}; choose int8 or bf16",
                 files_.file_of(*chunk.tensor), quote(chunk.tensor->info.name), kInt4NumberMax, value,
                 (chunk.begin + at) / bytes_of(dtype));
  }
  return {};
}

Status WeightReader::read_chunk(const Chunk& chunk, std::span<std::byte> bytes) const {
  const DType dtype = chunk.tensor->info.dtype;
  if (Status read = files_.read_part(*chunk.tensor, chunk.begin, bytes); !read) return read;
  if (const auto at = first_not_finite(bytes.data(), dtype, bytes.size() / bytes_of(dtype))) {
    const std::byte* element = bytes.data() + *at * bytes_of(dtype);
    float value = 0;
    convert_to_float(&value, element, dtype, 1);
    return error("E_NONFINITE", "{}: tensor {}: expected finite numbers, found {} at element {}", files_.file_of(*chunk.tensor),
                 quote(chunk.tensor->info.name), value, chunk.begin / bytes_of(dtype) + *at);
  }
  if (chunk.weight == nullptr) {
    convert_to_float(chunk.out, bytes.data(), dtype, bytes.size() / bytes_of(dtype));
    return {};
  }
  if (chunk.weight->storage == WeightStorage::int4) {
    if (Status fits = check_int4_range(chunk, bytes); !fits) return fits;
  }
  const auto rows = static_cast<std::int64_t>(bytes.size() / bytes_of(dtype)) / chunk.tensor_cols;
  const Tensor whole{bytes.data(), dtype, rows, chunk.tensor_cols, chunk.tensor_cols};
  backend_.pack_rows(*chunk.weight, chunk.row_begin, whole.cols_from(chunk.col_begin, chunk.weight->in));
  return {};
}

// The threads of one read(): each takes the next chunk until all are taken or one failed.
class WeightReader::Threads {
 public:
  explicit Threads(const WeightReader& reader) : reader_(reader) {
    for (const Chunk& chunk : reader.chunks_) {
      chunk_bytes_max_ = std::max(chunk_bytes_max_, chunk.bytes);
      total_bytes_ += chunk.bytes;
    }
  }

  Status run(const LoadProgress& progress) {
    {
      std::vector<std::jthread> others;
      for (int i = 1; i < reader_.backend_.thread_count(); ++i) others.emplace_back([this] { work_caught({}); });
      work_caught(progress);
    }
    if (failure_) return tl::unexpected(*failure_);
    if (progress) progress(done_bytes_, total_bytes_);
    return {};
  }

 private:
  void work_caught(const LoadProgress& progress) {
    try {
      work(progress);
    } catch (...) {
      fail(error_of_exception());
    }
  }

  void work(const LoadProgress& progress) {
    std::vector<std::byte> buffer(chunk_bytes_max_);
    for (;;) {
      const std::size_t index = next_.fetch_add(1, std::memory_order_relaxed);
      if (index >= reader_.chunks_.size()) return;
      const Chunk& chunk = reader_.chunks_[index];
      if (const Status read = reader_.read_chunk(chunk, std::span(buffer).first(chunk.bytes)); !read) return fail(read.error());
      const std::uint64_t done = done_bytes_.fetch_add(chunk.bytes, std::memory_order_relaxed) + chunk.bytes;
      if (progress) progress(done, total_bytes_);
    }
  }

  void fail(const Error& why) {
    next_.store(reader_.chunks_.size(), std::memory_order_relaxed);
    const std::scoped_lock lock(mutex_);
    if (!failure_) failure_ = why;
  }

  const WeightReader& reader_;
  std::size_t chunk_bytes_max_ = 0;
  std::uint64_t total_bytes_ = 0;
  std::atomic<std::size_t> next_{0};
  std::atomic<std::uint64_t> done_bytes_{0};
  std::mutex mutex_;
  std::optional<Error> failure_;  // the first; guarded by mutex_ while threads run
};

Status WeightReader::read(const LoadProgress& progress) {
  std::sort(chunks_.begin(), chunks_.end(), [](const Chunk& a, const Chunk& b) {
    const auto place = [](const Chunk& chunk) { return std::tuple(chunk.tensor->file_index, chunk.tensor->info.offset + chunk.begin); };
    return place(a) < place(b);
  });
  return Threads(*this).run(progress);
}

}  // namespace slora
