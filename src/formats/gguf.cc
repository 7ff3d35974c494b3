#include "formats/gguf.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <unordered_set>

#include "base/checked.h"
#include "formats/json.h"
#include "tensor/dtype.h"

namespace slora {
namespace {

constexpr std::uint64_t kDimensionsMax = 4;
constexpr std::size_t kQ8Values = 32, kQ8Bytes = 34;  // a block of Q8_0: an F16 factor, then I8 numbers

// The types of tensors, by their numbers; empty: none has it.
constexpr std::array<std::string_view, 31> kTensorTypes = {"F32",     "F16",    "Q4_0",    "Q4_1",  "",       "",      "Q5_0",  "Q5_1",
                                                           "Q8_0",    "Q8_1",   "Q2_K",    "Q3_K",  "Q4_K",   "Q5_K",  "Q6_K",  "Q8_K",
                                                           "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS",
                                                           "I8",      "I16",    "I32",     "I64",   "F64",    "IQ1_M", "BF16"};
constexpr std::uint32_t kF32 = 0, kF16 = 1, kQ8 = 8, kBf16 = 30;

// The types of values in the header.
enum class ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, list, u64, i64, f64 };

// Goes through a header from its begin; a read beyond its end gives nothing, and everything after that too.
class GgufCursor {
 public:
  explicit GgufCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  std::optional<T> take() {
    const std::optional<std::span<const std::byte>> bytes = take_bytes(sizeof(T));
    if (!bytes) return std::nullopt;
    T value;
    std::memcpy(&value, bytes->data(), sizeof(T));  // both are little-endian
    return value;
  }
  std::optional<std::string_view> take_text() {
    const std::optional<std::uint64_t> length = take<std::uint64_t>();
    if (!length) return std::nullopt;
    const std::optional<std::span<const std::byte>> text = take_bytes(*length);
    if (!text) return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(text->data()), text->size());
  }
  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] std::uint64_t left() const { return bytes_.size() - position_; }

 private:
  std::optional<std::span<const std::byte>> take_bytes(std::uint64_t count) {
    if (count > left()) {
      position_ = bytes_.size();
      return std::nullopt;
    }
    const std::span<const std::byte> taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }

  std::span<const std::byte> bytes_;
  std::uint64_t position_ = 0;
};

template <class T>
std::optional<GgufValue> number(GgufCursor& cursor) {
  const std::optional<T> value = cursor.take<T>();
  if (!value) return std::nullopt;
  if constexpr (std::is_floating_point_v<T>) {
    return GgufValue(static_cast<double>(*value));
  } else {
    const std::optional<std::int64_t> fitting = checked_cast<std::int64_t>(*value);
    return fitting ? GgufValue(*fitting) : GgufValue();
  }
}

// Any value but a list; nothing where the header ends, or where there is no such type.
std::optional<GgufValue> take_scalar(GgufCursor& cursor, ValueType type) {
  switch (type) {
    case ValueType::u8:
      return number<std::uint8_t>(cursor);
    case ValueType::i8:
      return number<std::int8_t>(cursor);
    case ValueType::u16:
      return number<std::uint16_t>(cursor);
    case ValueType::i16:
      return number<std::int16_t>(cursor);
    case ValueType::u32:
      return number<std::uint32_t>(cursor);
    case ValueType::i32:
      return number<std::int32_t>(cursor);
    case ValueType::u64:
      return number<std::uint64_t>(cursor);
    case ValueType::i64:
      return number<std::int64_t>(cursor);
    case ValueType::f32:
      return number<float>(cursor);
    case ValueType::f64:
      return number<double>(cursor);
    case ValueType::boolean: {
      const std::optional<std::uint8_t> value = cursor.take<std::uint8_t>();
      return value ? std::optional(GgufValue(*value != 0)) : std::nullopt;
    }
    case ValueType::text: {
      const std::optional<std::string_view> text = cursor.take_text();
      return text ? std::optional(GgufValue(std::string(*text))) : std::nullopt;
    }
    case ValueType::list:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<GgufValue> take_list(GgufCursor& cursor) {
  const std::optional<std::uint32_t> type = cursor.take<std::uint32_t>();
  const std::optional<std::uint64_t> count = cursor.take<std::uint64_t>();
  if (!type || !count || *count > cursor.left()) return std::nullopt;  // an element has a byte at least
  std::vector<std::int64_t> integers;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const std::optional<GgufValue> element = take_scalar(cursor, static_cast<ValueType>(*type));
    if (!element) return std::nullopt;
    if (const auto* integer = std::get_if<std::int64_t>(&*element)) integers.push_back(*integer);
  }
  return integers.size() == *count ? GgufValue(std::move(integers)) : GgufValue();
}

std::optional<GgufValue> take_value(GgufCursor& cursor) {
  const std::optional<std::uint32_t> type = cursor.take<std::uint32_t>();
  if (!type) return std::nullopt;
  const auto known = static_cast<ValueType>(*type);
  return known == ValueType::list ? take_list(cursor) : take_scalar(cursor, known);
}

// What a header says of a tensor.
struct GgufTensor {
  TensorInfo info;             // its offset relative to the first tensor's
  std::uint64_t stored_bytes;  // in the file
  bool is_q8 = false;
};

// nullopt where the header ends.
Result<std::optional<GgufTensor>> take_tensor(GgufCursor& cursor, const GgufLimits& limits) {
  const std::optional<std::string_view> name = cursor.take_text();
  const std::optional<std::uint32_t> dimension_count = cursor.take<std::uint32_t>();
  if (!name || !dimension_count) return std::nullopt;
  if (name->size() > limits.name_bytes_max)
    return error("E_GGUF", "tensor {}: expected a name of at most {} bytes, found {}", quote(*name), limits.name_bytes_max, name->size());
  if (*dimension_count > kDimensionsMax)
    return error("E_GGUF", "tensor {}: expected at most {} dimensions, found {}", quote(*name), kDimensionsMax, *dimension_count);
  GgufTensor tensor;
  tensor.info.name = *name;
  std::optional<std::uint64_t> count = 1;
  for (std::uint32_t i = 0; i < *dimension_count; ++i) {
    const std::optional<std::uint64_t> dimension = cursor.take<std::uint64_t>();
    if (!dimension) return std::nullopt;
    const std::optional<std::int64_t> fitting = checked_cast<std::int64_t>(*dimension);
    count = count && fitting ? checked_mul(*count, *dimension) : std::nullopt;
    tensor.info.shape.insert(tensor.info.shape.begin(), fitting.value_or(0));  // the file has the innermost first
  }
  const std::optional<std::uint32_t> type = cursor.take<std::uint32_t>();
  const std::optional<std::uint64_t> offset = cursor.take<std::uint64_t>();
  if (!type || !offset) return std::nullopt;
  tensor.info.offset = *offset;
  tensor.is_q8 = *type == kQ8;
  if (*type != kF32 && *type != kF16 && *type != kBf16 && *type != kQ8) {
    const std::string_view known = *type < kTensorTypes.size() ? kTensorTypes[*type] : "";
    return error("E_DTYPE", "tensor {}: expected F32, F16, BF16 or Q8_0, found {}", quote(*name),
                 known.empty() ? fmt::format("type {}", *type) : known);
  }
  tensor.info.dtype = *type == kF16 ? DType::f16 : *type == kBf16 ? DType::bf16 : DType::f32;
  const std::optional<std::uint64_t> bytes = count ? checked_mul<std::uint64_t>(*count, bytes_of(tensor.info.dtype)) : std::nullopt;
  if (!bytes) return error("E_GGUF", "tensor {}: expected a size that fits 64 bits", quote(*name));
  tensor.info.bytes = *bytes;
  tensor.stored_bytes = tensor.is_q8 ? *count / kQ8Values * kQ8Bytes : *bytes;
  if (tensor.is_q8 && (tensor.info.shape.empty() || tensor.info.shape.back() % static_cast<std::int64_t>(kQ8Values) != 0))
    return error("E_GGUF", "tensor {}: expected rows of blocks of {} numbers", quote(*name), kQ8Values);
  return tensor;
}

Status read_q8(const ReadOnlyFile& file, const GgufTensor& tensor, std::span<std::byte> out) {
  std::vector<std::byte> stored(tensor.stored_bytes);
  if (Status read = file.read_at(stored, tensor.info.offset); !read) return read;
  for (std::size_t block = 0; block < stored.size() / kQ8Bytes; ++block) {
    const std::byte* const begin = &stored[block * kQ8Bytes];
    Float16 factor{};
    std::memcpy(&factor, begin, sizeof(factor));
    std::array<float, kQ8Values> values{};  // a factor of 11 bits times a number of 8 bits: exact
    for (std::size_t i = 0; i < kQ8Values; ++i)
      values[i] = to_float(factor) * static_cast<float>(static_cast<std::int8_t>(begin[sizeof(factor) + i]));
    std::memcpy(&out[block * sizeof(values)], values.data(), sizeof(values));
  }
  return {};
}

// Makes offsets relative to the file's begin, and checks that the tensors lie in it, apart from each other.
Status place_tensors(std::vector<GgufTensor>& tensors, std::uint64_t data_begin, std::uint64_t file_bytes) {
  std::unordered_set<std::string_view> names;
  for (const GgufTensor& tensor : tensors) {
    if (!names.insert(tensor.info.name).second) return error("E_GGUF", "tensor {}: stands twice", quote(tensor.info.name));
  }
  for (GgufTensor& tensor : tensors) {
    const std::uint64_t data_bytes = file_bytes - data_begin;
    if (tensor.info.offset > data_bytes || tensor.stored_bytes > data_bytes - tensor.info.offset) {
      return error("E_GGUF", "tensor {}: expected its bytes to end within the file's {} data bytes, found {} at {}",
                   quote(tensor.info.name), data_bytes, tensor.stored_bytes, tensor.info.offset);
    }
    tensor.info.offset += data_begin;
  }
  std::vector<const GgufTensor*> in_order;
  for (const GgufTensor& tensor : tensors) in_order.push_back(&tensor);
  std::ranges::sort(in_order, {}, [](const GgufTensor* tensor) { return tensor->info.offset; });
  for (std::size_t i = 1; i < in_order.size(); ++i) {
    if (in_order[i - 1]->info.offset + in_order[i - 1]->stored_bytes <= in_order[i]->info.offset) continue;
    return error("E_GGUF", "tensor {}: expected bytes of its own, found some of {}", quote(in_order[i]->info.name),
                 quote(in_order[i - 1]->info.name));
  }
  return {};
}

// A header whose tensors are placed, and its entries.
struct GgufHeader {
  std::vector<std::pair<std::string, GgufValue>> entries;
  std::vector<GgufTensor> tensors;
};

Result<GgufHeader> parse_header(std::span<const std::byte> bytes, std::uint64_t file_bytes, const GgufLimits& limits) {
  GgufCursor cursor(bytes);
  const auto ends = [&] {
    return error("E_GGUF", "expected a header of known types within {} bytes, found none that ends there", bytes.size());
  };
  const std::optional<std::uint32_t> magic = cursor.take<std::uint32_t>(), version = cursor.take<std::uint32_t>();
  if (magic != 0x46554747u) return error("E_GGUF", "expected a file that begins with \"GGUF\"");
  if (version != 2u && version != 3u) return error("E_GGUF", "expected version 2 or 3, little-endian, found {}", version.value_or(0));
  const std::optional<std::uint64_t> tensor_count = cursor.take<std::uint64_t>(), entry_count = cursor.take<std::uint64_t>();
  if (!tensor_count || !entry_count) return ends();
  if (*tensor_count > limits.tensors_max || *entry_count > limits.entries_max) {
    return error("E_GGUF", "expected at most {} tensors and {} entries, found {} and {}", limits.tensors_max, limits.entries_max,
                 *tensor_count, *entry_count);
  }
  GgufHeader header;
  std::int64_t alignment = 32;
  for (std::uint64_t i = 0; i < *entry_count; ++i) {
    const std::optional<std::string_view> key = cursor.take_text();
    std::optional<GgufValue> value = key ? take_value(cursor) : std::nullopt;
    if (!value) return ends();
    const auto* integer = std::get_if<std::int64_t>(&*value);
    if (*key == "general.alignment") alignment = integer != nullptr ? *integer : 0;
    header.entries.emplace_back(*key, std::move(*value));
  }
  if (alignment < 1 || alignment > 65536) return error("E_GGUF", "\"general.alignment\": expected 1 to 65536, found {}", alignment);
  for (std::uint64_t i = 0; i < *tensor_count; ++i) {
    Result<std::optional<GgufTensor>> tensor = take_tensor(cursor, limits);
    if (!tensor) return forward_error(tensor);
    if (!*tensor) return ends();
    header.tensors.push_back(std::move(**tensor));
  }
  const auto step = static_cast<std::uint64_t>(alignment);
  const std::uint64_t data_begin = std::min((cursor.position() + step - 1) / step * step, file_bytes);
  if (Status placed = place_tensors(header.tensors, data_begin, file_bytes); !placed) return forward_error(placed);
  return header;
}

}  // namespace

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto at = std::ranges::find(entries, key, [](const auto& entry) -> const std::string& { return entry.first; });
  return at != entries.end() ? &at->second : nullptr;
}

Result<GgufFile> read_gguf(ReadOnlyFile file, const GgufLimits& limits) {
  std::vector<std::byte> bytes(std::min(file.bytes(), limits.header_bytes_max));
  if (Status read = file.read_at(bytes, 0); !read) return forward_error(read);
  Result<GgufHeader> header = parse_header(bytes, file.bytes(), limits);
  if (!header) return error(header.error().code, "{}: {}", file.name(), header.error().message);
  GgufFile found;
  found.entries = std::move(header->entries);
  const auto shared = std::make_shared<const ReadOnlyFile>(std::move(file));
  for (GgufTensor& tensor : header->tensors) {
    TensorInfo info = tensor.info;
    found.tensors.push_back({std::move(info), [shared, tensor = std::move(tensor)](std::span<std::byte> out) {
                               return tensor.is_q8 ? read_q8(*shared, tensor, out) : shared->read_at(out, tensor.info.offset);
                             }});
  }
  return found;
}

}  // namespace slora
