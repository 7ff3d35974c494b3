#include "adapters/subtracted_start.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "formats/json.h"
#include "tensor/dtype.h"

namespace slora {
namespace {

constexpr std::int64_t kStartReadElements = 1 << 20;  // of W that are read at a time

}  // namespace

SubtractedStart::SubtractedStart(SubtractedInit init, TensorInfo a, TensorInfo b, float scale, std::shared_ptr<const ModelFiles> base,
                                 std::string weight)
    : init_(init), a_(std::move(a)), b_(std::move(b)), scale_(scale), base_(std::move(base)), weight_(std::move(weight)) {}

Result<const FactoredMatrix*> SubtractedStart::factors(const SafetensorsFile& file, Gate& gate) const {
  const std::lock_guard lock(mutex_);
  if (factors_) return &*factors_;
  const Result<std::vector<float>> weight = read_weight(file, gate);
  if (!weight) return tl::unexpected(weight.error());
  const std::int64_t rank = a_.shape[0], in = a_.shape[1], out = b_.shape[0];
  std::optional<FactoredMatrix> found;
  gate.compute([&] {
    found = init_ == SubtractedInit::olora ? leading_qr(*weight, out, in, rank) : best_approximation(*weight, out, in, rank);
    // PiSSA's scale is divided out of its start, OLoRA's is not.
    if (found && init_ == SubtractedInit::pissa) std::ranges::for_each(found->a, [this](float& value) { value /= scale_; });
  });
  if (!found) {
    return error("E_BASE_MUTATED", "the base's {}: its {} largest singular vectors, which PiSSA subtracts, were not found", quote(weight_),
                 rank);
  }
  factors_ = std::move(found);
  return &*factors_;
}

Result<std::vector<float>> SubtractedStart::read_weight(const SafetensorsFile& file, Gate& gate) const {
  const std::vector<std::int64_t> expected = {b_.shape[0], a_.shape[1]};
  const ModelTensor* const weight = base_->find(weight_);
  if (weight == nullptr || weight->info.shape != expected) {
    return error("E_SHAPE", "the base's {}: expected [{}, {}] in its files, to compute what training subtracted from it", quote(weight_),
                 expected[0], expected[1]);
  }
  const std::size_t element_bytes = bytes_of(weight->info.dtype);
  const std::int64_t count = expected[0] * expected[1];
  std::vector<float> numbers(static_cast<std::size_t>(count));
  std::vector<std::byte> bytes;
  for (std::int64_t begin = 0; begin < count; begin += kStartReadElements) {
    if (!gate.pass([] {})) return error("E_READ", "{}: computing what training subtracted from the base took too long", file.name());
    const auto piece = static_cast<std::size_t>(std::min(kStartReadElements, count - begin));
    bytes.resize(piece * element_bytes);
    if (Status read = base_->read_part(*weight, static_cast<std::uint64_t>(begin) * element_bytes, bytes); !read)
      return forward_error(read);
    convert_to_float(numbers.data() + begin, bytes.data(), weight->info.dtype, piece);
  }
  return numbers;
}

RowsAndStart::RowsAndStart(std::shared_ptr<const SubtractedStart> start)
    : DerivedTensor(start->a().name, {2 * start->a().shape[0], start->a().shape[1]}, {start->a().name}), start_(std::move(start)) {}

Status RowsAndStart::compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count, Gate& gate) const {
  const std::int64_t rank = start_->a().shape[0], cols = start_->a().shape[1];
  const std::int64_t own = std::clamp<std::int64_t>(rank - row_begin, 0, row_count);
  if (own > 0) {
    const Result<std::vector<float>> rows = read_rows(file, start_->a(), row_begin, own);
    if (!rows) return tl::unexpected(rows.error());
    out = std::ranges::copy(*rows, out).out;
  }
  if (own == row_count) return {};
  const Result<const FactoredMatrix*> factors = start_->factors(file, gate);
  if (!factors) return tl::unexpected(factors.error());
  std::copy_n((*factors)->a.data() + (row_begin + own - rank) * cols, (row_count - own) * cols, out);
  return {};
}

ColumnsAndStart::ColumnsAndStart(std::shared_ptr<const SubtractedStart> start)
    : DerivedTensor(start->b().name, {start->b().shape[0], 2 * start->b().shape[1]}, {start->b().name}), start_(std::move(start)) {}

Status ColumnsAndStart::compute(float* out, const SafetensorsFile& file, std::int64_t row_begin, std::int64_t row_count, Gate& gate) const {
  const std::int64_t rank = start_->b().shape[1];
  const Result<std::vector<float>> rows = read_rows(file, start_->b(), row_begin, row_count);
  if (!rows) return tl::unexpected(rows.error());
  const Result<const FactoredMatrix*> factors = start_->factors(file, gate);
  if (!factors) return tl::unexpected(factors.error());
  const float* own = rows->data();
  const float* start = (*factors)->b.data() + row_begin * rank;
  for (std::int64_t i = 0; i < row_count; ++i, own += rank, start += rank) {
    out = std::copy_n(own, rank, out);
    out = std::transform(start, start + rank, out, std::negate<>());
  }
  return {};
}

}  // namespace slora
