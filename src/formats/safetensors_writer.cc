#include "formats/safetensors_writer.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "formats/file.h"
#include "formats/json.h"

namespace slora {
namespace {

// Adds a tensor of the file's next `bytes` bytes.
void add_tensor(Json& header, std::uint64_t& end, const std::string& name, DType dtype, const std::vector<std::int64_t>& shape,
                std::uint64_t bytes) {
  // Without a search for the name, which would take time by the square of their number; readers refuse a name that stands twice.
  Json::object_t& members = header.get_ref<Json::object_t&>();
  members.push_back({name, {{"dtype", name_of(dtype)}, {"shape", shape}, {"data_offsets", {end, end + bytes}}}});
  end += bytes;
}

// The length of the header, and the header.
std::string beginning_of(const Json& header) {
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');  // so that tensors are aligned in the file
  std::string length;
  for (std::size_t i = 0; i < 8; ++i) length.push_back(static_cast<char>(text.size() >> (8 * i) & 0xffu));
  return length + text;
}

}  // namespace

TensorToWrite tensor_to_write(std::string name, DType dtype, std::vector<std::int64_t> shape, const std::vector<float>& values) {
  std::int64_t count = 1;
  for (const std::int64_t dimension : shape) count *= dimension;
  check(count == static_cast<std::int64_t>(values.size()), "expected as many values as the shape has elements");
  TensorToWrite tensor{std::move(name), dtype, std::move(shape), std::vector<std::byte>(values.size() * bytes_of(dtype))};
  convert_from_float(tensor.bytes.data(), dtype, values.data(), values.size());
  return tensor;
}

Status write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors) {
  Json header(Json::value_t::object);
  std::uint64_t end = 0;
  for (const TensorToWrite& tensor : tensors) add_tensor(header, end, tensor.name, tensor.dtype, tensor.shape, tensor.bytes.size());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << beginning_of(header);
  for (const TensorToWrite& tensor : tensors) {
    file.write(reinterpret_cast<const char*>(tensor.bytes.data()), static_cast<std::streamsize>(tensor.bytes.size()));
  }
  file.close();
  if (!file) return error("E_WRITE", "{}: can't be written", file_name(path));
  return {};
}

std::string safetensors_beginning(std::span<const ReadableTensor> tensors) {
  Json header(Json::value_t::object);
  header["__metadata__"] = {{"format", "pt"}};
  std::uint64_t end = 0;
  for (const auto& [info, read] : tensors) add_tensor(header, end, info.name, info.dtype, info.shape, info.bytes);
  return beginning_of(header);
}

Status write_safetensors(const ByteSink& sink, std::span<const ReadableTensor> tensors) {
  const std::string beginning = safetensors_beginning(tensors);
  if (Status written = sink(std::as_bytes(std::span(beginning))); !written) return written;
  for (const ReadableTensor& tensor : tensors) {
    std::vector<std::byte> bytes(tensor.info.bytes);
    if (Status read = tensor.read(bytes); !read) return read;
    if (Status written = sink(bytes); !written) return written;
  }
  return {};
}

}  // namespace slora
