#include "formats/gguf.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <span>
#include <type_traits>
#include <unordered_set>

#include "base/checked.h"
#include "formats/gguf_cursor.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::uint64_t kGgufDimensionsMax = 4;

// The types of values in the header.
enum class ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, list, u64, i64, f64 };

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

// Any value but a list; nothing where the header ends. Requires: a known type but list.
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
      std::optional<std::string> text = cursor.take_text();
      return text ? std::optional(GgufValue(*std::move(text))) : std::nullopt;
    }
    case ValueType::list:
      break;
  }
  return std::nullopt;
}

bool is_scalar_type(std::uint32_t type) {
  return type <= static_cast<std::uint32_t>(ValueType::f64) && type != static_cast<std::uint32_t>(ValueType::list);
}

// The elements of a list: T of each, or nothing where one has no such value.
template <class T>
std::optional<GgufValue> take_elements(GgufCursor& cursor, ValueType type, std::uint64_t count) {
  std::vector<T> elements;
  bool is_complete = true;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::optional<GgufValue> element = take_scalar(cursor, type);
    if (!element) return std::nullopt;
    if (T* const value = std::get_if<T>(&*element)) {
      elements.push_back(std::move(*value));
    } else if (const bool* const flag = std::get_if<bool>(&*element); flag != nullptr && std::is_arithmetic_v<T>) {
      if constexpr (std::is_arithmetic_v<T>) elements.push_back(static_cast<T>(*flag));
    } else {
      is_complete = false;
    }
  }
  return is_complete ? GgufValue(std::move(elements)) : GgufValue();
}

// Reads one header.
class HeaderReader {
 public:
  HeaderReader(const ReadOnlyFile& file, const GgufLimits& limits)
      : file_(file), limits_(limits), cursor_(file, limits.header_bytes_max), elements_left_(limits.elements_max) {}

  Status read(GgufFile& out) {
    const Result<Counts> counts = read_counts();
    if (!counts) return tl::unexpected(counts.error());
    std::unordered_set<std::string> keys;
    for (std::uint64_t i = 0; i < counts->entries; ++i) {
      std::optional<std::string> key = cursor_.take_text();
      if (!key) return ends(fmt::format("entry {} of {}", i + 1, counts->entries));
      if (!keys.insert(*key).second) return error("E_GGUF", "entry {}: expected each key once, found it twice", quote(*key));
      Result<GgufValue> value = read_value(*key);
      if (!value) return forward_error(value);
      out.entries.emplace_back(*std::move(key), std::move(*value));
    }
    for (std::uint64_t i = 0; i < counts->tensors; ++i) {
      Result<GgufTensor> tensor = read_tensor(fmt::format("tensor {} of {}", i + 1, counts->tensors));
      if (!tensor) return forward_error(tensor);
      out.tensors.push_back(std::move(*tensor));
    }
    return place_tensors(out);
  }

 private:
  struct Counts {
    std::uint64_t tensors, entries;
  };

  // The header ends within `what`, or can't be read.
  [[nodiscard]] tl::unexpected<Error> ends(std::string_view what) const {
    if (cursor_.failure()) return tl::unexpected(*cursor_.failure());
    return error("E_GGUF", "{}: expected a header within the first {} bytes, found that it goes on there", what,
                 cursor_.position() + cursor_.left());
  }

  Result<Counts> read_counts() {
    const std::optional<std::uint32_t> magic = cursor_.take<std::uint32_t>(), version = cursor_.take<std::uint32_t>();
    if (!magic || *magic != 0x46554747u) return error("E_GGUF", "expected a file that begins with \"GGUF\"");
    if (version != 2u && version != 3u) return error("E_GGUF", "expected version 2 or 3, little-endian, found {}", version.value_or(0));
    const std::optional<std::uint64_t> tensors = cursor_.take<std::uint64_t>(), entries = cursor_.take<std::uint64_t>();
    if (!tensors || !entries) return ends("counts");
    if (*tensors > limits_.tensors_max || *entries > limits_.entries_max) {
      return error("E_GGUF", "expected at most {} tensors and {} entries, found {} and {}", limits_.tensors_max, limits_.entries_max,
                   *tensors, *entries);
    }
    return Counts{*tensors, *entries};
  }

  Result<GgufValue> read_value(const std::string& key) {
    if (key.size() > limits_.name_bytes_max)
      return error("E_GGUF", "entry {}: expected a key of at most {} bytes, found {}", quote(key), limits_.name_bytes_max, key.size());
    const std::string what = "entry " + quote(key);
    const std::optional<std::uint32_t> type = cursor_.take<std::uint32_t>();
    if (!type) return ends(what);
    std::optional<GgufValue> value;
    if (*type == static_cast<std::uint32_t>(ValueType::list)) {
      const std::optional<std::uint32_t> element = cursor_.take<std::uint32_t>();
      const std::optional<std::uint64_t> count = cursor_.take<std::uint64_t>();
      if (!element || !count) return ends(what);
      if (!is_scalar_type(*element)) return error("E_GGUF", "{}: expected elements of a type from 0 to 12 but 9, found {}", what, *element);
      if (*count > elements_left_)
        return error("E_GGUF", "{}: expected at most {} elements in the header's lists, found {} more", what, limits_.elements_max, *count);
      elements_left_ -= *count;
      value = read_list(static_cast<ValueType>(*element), *count);
    } else if (is_scalar_type(*type)) {
      value = take_scalar(cursor_, static_cast<ValueType>(*type));
    } else {
      return error("E_GGUF", "{}: expected a type from 0 to 12, found {}", what, *type);
    }
    if (!value) return ends(what);
    return *std::move(value);
  }

  std::optional<GgufValue> read_list(ValueType element, std::uint64_t count) {
    if (element == ValueType::text) return take_elements<std::string>(cursor_, element, count);
    if (element == ValueType::f32 || element == ValueType::f64) return take_elements<double>(cursor_, element, count);
    return take_elements<std::int64_t>(cursor_, element, count);
  }

  Result<GgufTensor> read_tensor(const std::string& which) {
    std::optional<std::string> name = cursor_.take_text();
    const std::optional<std::uint32_t> dimension_count = cursor_.take<std::uint32_t>();
    if (!name || !dimension_count) return ends(which);
    if (name->size() > limits_.name_bytes_max)
      return error("E_GGUF", "tensor {}: expected a name of at most {} bytes, found {}", quote(*name), limits_.name_bytes_max,
                   name->size());
    if (*dimension_count > kGgufDimensionsMax)
      return error("E_GGUF", "tensor {}: expected at most {} dimensions, found {}", quote(*name), kGgufDimensionsMax, *dimension_count);
    GgufTensor tensor{};
    tensor.info.name = *std::move(name);
    std::optional<std::uint64_t> count = 1;
    for (std::uint32_t i = 0; i < *dimension_count; ++i) {
      const std::optional<std::uint64_t> dimension = cursor_.take<std::uint64_t>();
      if (!dimension) return ends(which);
      const std::optional<std::int64_t> fitting = checked_cast<std::int64_t>(*dimension);
      count = count && fitting ? checked_mul(*count, *dimension) : std::nullopt;
      tensor.info.shape.insert(tensor.info.shape.begin(), fitting.value_or(0));  // the file has the innermost first
    }
    const std::optional<std::uint32_t> type = cursor_.take<std::uint32_t>();
    const std::optional<std::uint64_t> offset = cursor_.take<std::uint64_t>();
    if (!type || !offset) return ends(which);
    tensor.info.offset = *offset;
    if (Status sized = set_type(tensor, *type, count); !sized) return forward_error(sized);
    return tensor;
  }

  // `count`: of elements; nothing if it does not fit.
  static Status set_type(GgufTensor& tensor, std::uint32_t type, std::optional<std::uint64_t> count) {
    const std::string name = quote(tensor.info.name);
    tensor.type = find_gguf_type(type);
    if (tensor.type == nullptr) {
      std::vector<std::string_view> names;
      for (const GgufType& known : gguf_types()) names.push_back(known.name);
      const std::string_view found = gguf_type_name(type);
      return error("E_DTYPE", "tensor {}: expected {}, found {}", name, fmt::join(names, ", "),
                   found.empty() ? fmt::format("type {}", type) : found);
    }
    tensor.info.dtype = tensor.type->dtype;
    const std::optional<std::uint64_t> bytes = count ? checked_mul<std::uint64_t>(*count, bytes_of(tensor.info.dtype)) : std::nullopt;
    if (!bytes)
      return error("E_GGUF", "tensor {}: expected a size that fits 64 bits, found [{}]", name, fmt::join(tensor.info.shape, ", "));
    tensor.info.bytes = *bytes;
    const std::uint64_t block = tensor.type->block_elements;
    const std::uint64_t row = tensor.info.shape.empty() ? 1 : static_cast<std::uint64_t>(tensor.info.shape.back());
    if (row % block != 0)
      return error("E_GGUF", "tensor {}: expected rows of whole blocks of {} numbers, as its type is {}, found rows of {}", name, block,
                   tensor.type->name, row);
    tensor.stored_bytes = *count / block * tensor.type->block_bytes;  // blocks are never larger than their numbers in F32
    return {};
  }

  // Makes offsets relative to the file's begin, and checks that the tensors lie in it, apart from each other.
  Status place_tensors(GgufFile& out) const {
    std::uint64_t alignment = 32;
    if (const GgufValue* const value = out.find("general.alignment")) {
      const auto* const integer = std::get_if<std::int64_t>(value);
      if (integer == nullptr || *integer < 1 || *integer > 65536 || !std::has_single_bit(static_cast<std::uint64_t>(*integer))) {
        return error("E_GGUF", "entry \"general.alignment\": expected a power of two from 1 to 65536, found {}",
                     integer != nullptr ? fmt::format("{}", *integer) : std::string(type_name(*value)));
      }
      alignment = static_cast<std::uint64_t>(*integer);
    }
    const std::uint64_t data_begin = std::min((cursor_.position() + alignment - 1) / alignment * alignment, file_.bytes());
    const std::uint64_t data_bytes = file_.bytes() - data_begin;
    std::unordered_set<std::string_view> names;
    for (GgufTensor& tensor : out.tensors) {
      const std::string name = quote(tensor.info.name);
      if (!names.insert(tensor.info.name).second) return error("E_GGUF", "tensor {}: expected each name once, found it twice", name);
      if (tensor.info.offset % alignment != 0)
        return error("E_GGUF", "tensor {}: expected an offset that is a multiple of {}, found {}", name, alignment, tensor.info.offset);
      if (tensor.info.offset > data_bytes || tensor.stored_bytes > data_bytes - tensor.info.offset) {
        return error("E_GGUF", "tensor {}: expected its bytes to end within the file's {} data bytes, found {} at {}", name, data_bytes,
                     tensor.stored_bytes, tensor.info.offset);
      }
      tensor.info.offset += data_begin;
    }
    return check_apart(out.tensors);
  }

  static Status check_apart(std::span<const GgufTensor> tensors) {
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

  const ReadOnlyFile& file_;
  const GgufLimits& limits_;
  GgufCursor cursor_;
  std::uint64_t elements_left_;  // that lists may have from here on
};

}  // namespace

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto at = std::ranges::find(entries, key, [](const auto& entry) -> const std::string& { return entry.first; });
  return at != entries.end() ? &at->second : nullptr;
}

std::string_view type_name(const GgufValue& value) {
  constexpr std::array<std::string_view, std::variant_size_v<GgufValue>> kNames = {
      "an integer beyond 64 bits", "true or false",     "an integer",     "a number", "a text",
      "a list of integers",        "a list of numbers", "a list of texts"};
  return kNames[value.index()];
}

Result<GgufFile> read_gguf(ReadOnlyFile file, const GgufLimits& limits) {
  GgufFile found;
  found.file = std::make_shared<const ReadOnlyFile>(std::move(file));
  if (Status read = HeaderReader(*found.file, limits).read(found); !read)
    return error(read.error().code, "{}: {}", found.file->name(), read.error().message);
  return found;
}

}  // namespace slora
