#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <tuple>
#include <unordered_set>

#include "base/check.h"
#include "base/checked.h"
#include "formats/json.h"

namespace slora {
namespace {

constexpr std::uint64_t kLengthBytes = 8;  // the file begins with the length of the header, little-endian
constexpr std::size_t kDimensionsMax = 8;

std::optional<DType> dtype_of(std::string_view name) {
  constexpr std::array kKnown = {DType::f32, DType::f16, DType::bf16, DType::f64,     DType::i64,     DType::i32,
                                 DType::i16, DType::i8,  DType::u8,   DType::boolean, DType::f8_e4m3, DType::f8_e5m2};
  for (const DType dtype : kKnown) {
    if (name_of(dtype) == name) return dtype;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> size_from(const Json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  return std::nullopt;  // the parser represents non-negative integers as unsigned, so any other value is negative or no integer
}

tl::unexpected<Error> refuse_tensor(std::string_view tensor, std::string_view what) {
  return error("E_SAFETENSORS", "tensor {}: {}", quote(tensor), what);
}

Result<std::vector<std::int64_t>> parse_shape(std::string_view name, const Json& shape) {
  if (!shape.is_array()) return refuse_tensor(name, fmt::format("shape: expected a list, found {}", shown(shape)));
  if (shape.size() > kDimensionsMax) {
    return refuse_tensor(name, fmt::format("shape: expected at most {} dimensions, found {}", kDimensionsMax, shape.size()));
  }
  std::vector<std::int64_t> dimensions;
  for (const Json& element : shape) {
    const std::optional<std::uint64_t> size = size_from(element);
    const std::optional<std::int64_t> dimension = size ? checked_cast<std::int64_t>(*size) : std::nullopt;
    if (!dimension) return refuse_tensor(name, fmt::format("shape: expected integers from 0 on, found {}", shown(shape)));
    dimensions.push_back(*dimension);
  }
  return dimensions;
}

// The number of bytes for a dtype and shape; nothing if a partial product exceeds 64 bits, even if a later dimension is 0.
std::optional<std::uint64_t> bytes_for(DType dtype, const std::vector<std::int64_t>& shape) {
  std::optional<std::uint64_t> bytes = bytes_of(dtype);
  for (const std::int64_t dimension : shape) {
    bytes = checked_mul(*bytes, static_cast<std::uint64_t>(dimension));
    if (!bytes) return std::nullopt;
  }
  return bytes;
}

// Reads one entry; `offset` is relative to the end of the header.
Result<TensorInfo> parse_tensor(const std::string& name, const Json& entry) {
  if (!entry.is_object()) return refuse_tensor(name, fmt::format("expected an object, found {}", shown(entry)));
  const Json* dtype_name = nullptr;
  const Json* shape = nullptr;
  const Json* offsets = nullptr;
  for (const auto& [key, value] : entry.get_ref<const Json::object_t&>()) {
    if (key == "dtype") {
      dtype_name = &value;
    } else if (key == "shape") {
      shape = &value;
    } else if (key == "data_offsets") {
      offsets = &value;
    } else {
      return refuse_tensor(name, fmt::format("expected dtype, shape and data_offsets, found {}", quote(key)));
    }
  }
  if (dtype_name == nullptr || shape == nullptr || offsets == nullptr)
    return refuse_tensor(name, "expected dtype, shape and data_offsets, found less");

  const std::optional<DType> dtype = dtype_name->is_string() ? dtype_of(dtype_name->get_ref<const std::string&>()) : std::nullopt;
  if (!dtype) return refuse_tensor(name, fmt::format("expected a known dtype, found {}", shown(*dtype_name)));
  Result<std::vector<std::int64_t>> dimensions = parse_shape(name, *shape);
  if (!dimensions) return forward_error(dimensions);
  const std::optional<std::uint64_t> bytes = bytes_for(*dtype, *dimensions);
  if (!bytes) return refuse_tensor(name, fmt::format("shape {}: expected a size that fits 64 bits", shown(*shape)));

  const bool is_pair = offsets->is_array() && offsets->size() == 2;
  const std::optional<std::uint64_t> begin = is_pair ? size_from((*offsets)[0]) : std::nullopt;
  const std::optional<std::uint64_t> end = is_pair ? size_from((*offsets)[1]) : std::nullopt;
  if (!begin || !end || *begin > *end)
    return refuse_tensor(name, fmt::format("data_offsets: expected [begin, end], found {}", shown(*offsets)));
  if (*end - *begin != *bytes) {
    return refuse_tensor(name, fmt::format("expected {} bytes for {} {}, found {}", *bytes, name_of(*dtype), shown(*shape), *end - *begin));
  }
  return TensorInfo{name, *dtype, std::move(*dimensions), *begin, *bytes};
}

Result<std::vector<std::pair<std::string, std::string>>> parse_metadata(const Json& value) {
  if (!value.is_object()) return error("E_SAFETENSORS", "__metadata__: expected an object of strings, found {}", shown(value));
  std::vector<std::pair<std::string, std::string>> metadata;
  for (const auto& [key, text] : value.get_ref<const Json::object_t&>()) {
    if (!text.is_string()) return error("E_SAFETENSORS", "__metadata__: expected strings, found {} for {}", shown(text), quote(key));
    metadata.emplace_back(key, text.get<std::string>());
  }
  return metadata;
}

// Sorts by offset and makes offsets relative to the start of the file.
Status place(std::vector<TensorInfo>& tensors, std::uint64_t data_begin, std::uint64_t data_bytes) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
  });
  std::uint64_t expected = 0;
  for (TensorInfo& tensor : tensors) {
    if (tensor.offset != expected) {
      return refuse_tensor(
          tensor.name, fmt::format("expected its bytes to begin at {}, where the tensor before ends, found {}", expected, tensor.offset));
    }
    if (tensor.bytes > data_bytes - expected) {
      return refuse_tensor(tensor.name, fmt::format("expected its bytes to end within the file's {} data bytes, found {} at {}", data_bytes,
                                                    tensor.bytes, tensor.offset));
    }
    expected += tensor.bytes;
    tensor.offset += data_begin;
  }
  if (expected != data_bytes) {
    return error("E_SAFETENSORS", "expected the tensors to fill the file's {} data bytes, found {}", data_bytes, expected);
  }
  return {};
}

// Files of other forms, by their first bytes, which make no possible length of a header.
struct Foreign {
  std::string_view begin;
  std::string_view code, what;
};
constexpr Foreign kForeign[] = {
    {"PK\x03\x04", "E_PICKLE", "a PyTorch file, which is a pickle and may run any code when opened; save it again as safetensors"},
    {"\x80\x02", "E_PICKLE", "a pickle, which may run any code when opened; save it again as safetensors"},
    {"\x80\x04\x95", "E_PICKLE", "a pickle, which may run any code when opened; save it again as safetensors"},
    {"GGUF", "E_SAFETENSORS", "a GGUF file of llama.cpp"},
    {"version ", "E_SAFETENSORS", "a pointer of Git LFS; fetch the file itself with git lfs pull"},
    {"<!DOCTYP", "E_SAFETENSORS", "a web page; the download failed"},
};

const Foreign* recognised(std::string_view first_bytes) {
  const auto* at = std::ranges::find_if(kForeign, [&](const Foreign& foreign) { return first_bytes.starts_with(foreign.begin); });
  return at != std::ranges::end(kForeign) ? at : nullptr;
}

Status check_unique(const std::vector<TensorInfo>& tensors) {
  std::unordered_set<std::string_view> names;
  names.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) {
    if (!names.insert(tensor.name).second) return error("E_SAFETENSORS", "header: the key {} stands twice", quote(tensor.name));
  }
  return {};
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(std::string_view header, std::uint64_t file_bytes, const SafetensorsLimits& limits) {
  if (header.size() > limits.header_bytes_max || file_bytes < kLengthBytes || header.size() > file_bytes - kLengthBytes) {
    return error("E_SAFETENSORS", "header: expected at most {} bytes within a file of {}, found {}", limits.header_bytes_max, file_bytes,
                 header.size());
  }
  if (!header.starts_with('{')) return error("E_SAFETENSORS", "header: expected a JSON object that begins with '{{'");
  // Each tensor is an object of three members, the largest with 8 + 2 numbers.
  const JsonLimits json_limits{.bytes_max = header.size(), .depth_max = 4, .values_max = 16 * limits.tensors_max + (1 << 16)};
  SafetensorsHeader parsed;
  const Status members = parse_json_members(header, json_limits, [&](const std::string& name, const Json& entry) -> Status {
    if (name == "__metadata__") {
      auto metadata = parse_metadata(entry);
      if (!metadata) return forward_error(metadata);
      parsed.metadata = std::move(*metadata);
      return {};
    }
    if (name.empty() || name.size() > limits.name_bytes_max) {
      return error("E_SAFETENSORS", "tensor {}: expected a name of 1 to {} bytes, found {}", quote(name), limits.name_bytes_max,
                   name.size());
    }
    if (parsed.tensors.size() >= limits.tensors_max)
      return error("E_SAFETENSORS", "expected at most {} tensors, found more", limits.tensors_max);
    Result<TensorInfo> tensor = parse_tensor(name, entry);
    if (!tensor) return forward_error(tensor);
    parsed.tensors.push_back(std::move(*tensor));
    return {};
  });
  if (!members && members.error().code == "E_SAFETENSORS") return tl::unexpected(members.error());
  if (!members) return error("E_SAFETENSORS", "header: {}", members.error().message);
  if (Status unique = check_unique(parsed.tensors); !unique) return forward_error(unique);
  const std::uint64_t data_begin = kLengthBytes + header.size();
  if (Status placed = place(parsed.tensors, data_begin, file_bytes - data_begin); !placed) return forward_error(placed);
  return parsed;
}

SafetensorsFile::SafetensorsFile(ReadOnlyFile file, SafetensorsHeader header)
    : file_(std::move(file)), header_(std::move(header)), by_name_(header_.tensors.size()) {
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::sort(by_name_.begin(), by_name_.end(),
            [&](std::uint32_t a, std::uint32_t b) { return header_.tensors[a].name < header_.tensors[b].name; });
}

Result<SafetensorsFile> SafetensorsFile::open(const std::string& path, const SafetensorsLimits& limits) {
  return open(ReadOnlyFile::open(path), limits);
}

Result<SafetensorsFile> SafetensorsFile::open(Result<ReadOnlyFile> file, const SafetensorsLimits& limits) {
  if (!file) return forward_error(file);

  std::array<std::byte, kLengthBytes> length{};
  if (file->bytes() < kLengthBytes) {
    return error("E_SAFETENSORS", "{}: expected at least {} bytes, found {}", file->name(), kLengthBytes, file->bytes());
  }
  if (Status read = file->read_at(length, 0); !read) return forward_error(read);
  std::uint64_t header_bytes = 0;
  for (std::size_t i = length.size(); i-- > 0;) header_bytes = header_bytes << 8 | std::to_integer<std::uint64_t>(length[i]);
  if (header_bytes > limits.header_bytes_max || header_bytes > file->bytes() - kLengthBytes) {
    if (const Foreign* foreign = recognised({reinterpret_cast<const char*>(length.data()), length.size()}))
      return error(std::string(foreign->code), "{}: expected safetensors, found {}", file->name(), foreign->what);
    return error("E_SAFETENSORS", "{}: expected a header of at most {} bytes within a file of {}, found one of {}", file->name(),
                 limits.header_bytes_max, file->bytes(), header_bytes);
  }
  std::string header(static_cast<std::size_t>(header_bytes), '\0');
  if (Status read = file->read_at(std::as_writable_bytes(std::span(header)), kLengthBytes); !read) return forward_error(read);
  Result<SafetensorsHeader> parsed = parse_safetensors_header(header, file->bytes(), limits);
  if (!parsed) return error(parsed.error().code, "{}: {}", file->name(), parsed.error().message);
  return SafetensorsFile(std::move(*file), std::move(*parsed));
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                   [&](std::uint32_t index, std::string_view wanted) { return header_.tensors[index].name < wanted; });
  if (at == by_name_.end() || header_.tensors[*at].name != name) return nullptr;
  return &header_.tensors[*at];
}

Status SafetensorsFile::read(const TensorInfo& tensor, std::span<std::byte> out) const {
  check(out.size() == tensor.bytes, "expected a buffer of the tensor's size");
  return read_part(tensor, 0, out);
}

Status SafetensorsFile::read_part(const TensorInfo& tensor, std::uint64_t begin, std::span<std::byte> out) const {
  check(begin <= tensor.bytes && out.size() <= tensor.bytes - begin, "expected a range inside the tensor");
  Status read = file_.read_at(out, tensor.offset + begin);
  if (!read) return error(read.error().code, "tensor {}: {}", quote(tensor.name), read.error().message);
  return read;
}

}  // namespace slora
