#include "formats/safetensors_writer.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "formats/file.h"
#include "formats/json.h"

namespace slora {
namespace {

// {"name": {"dtype", "shape", "data_offsets"}} of one tensor after another, and metadata.
class Header {
 public:
  explicit Header(Json metadata) : json_(std::move(metadata)) {}

  void add(const std::string& name, DType dtype, const std::vector<std::int64_t>& shape, std::uint64_t bytes) {
    const std::uint64_t begin = std::exchange(end_, end_ + bytes);
    // Without a search for the name, which would take time by the square of their number; readers refuse a name that stands twice.
    Json::object_t& members = json_.get_ref<Json::object_t&>();
    members.push_back({name, {{"dtype", name_of(dtype)}, {"shape", shape}, {"data_offsets", {begin, end_}}}});
  }

  // What the file begins with: the header's length, and the header.
  [[nodiscard]] std::string text() const {
    std::string text = json_.dump(-1, ' ', false, Json::error_handler_t::replace);
    text.append((8 - text.size() % 8) % 8, ' ');  // so that tensors are aligned in the file
    std::string length;
    for (std::size_t i = 0; i < 8; ++i) length.push_back(static_cast<char>(text.size() >> (8 * i) & 0xffu));
    return length + text;
  }

 private:
  Json json_;
  std::uint64_t end_ = 0;
};

// That the tensors are PyTorch's, as transformers and PEFT want it.
Json metadata_of_pytorch() { return {{"__metadata__", {{"format", "pt"}}}}; }

}  // namespace

std::uint64_t TensorShape::bytes() const {
  std::uint64_t count = bytes_of(dtype);
  for (const std::int64_t dimension : shape) count *= static_cast<std::uint64_t>(dimension);
  return count;
}

TensorToWrite tensor_to_write(std::string name, DType dtype, std::vector<std::int64_t> shape, const std::vector<float>& values) {
  std::int64_t count = 1;
  for (const std::int64_t dimension : shape) count *= dimension;
  check(count == static_cast<std::int64_t>(values.size()), "expected as many values as the shape has elements");
  TensorToWrite tensor{std::move(name), dtype, std::move(shape), std::vector<std::byte>(values.size() * bytes_of(dtype))};
  convert_from_float(tensor.bytes.data(), dtype, values.data(), values.size());
  return tensor;
}

Status write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors) {
  Header header(Json(Json::value_t::object));
  for (const TensorToWrite& tensor : tensors) header.add(tensor.name, tensor.dtype, tensor.shape, tensor.bytes.size());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << header.text();
  for (const TensorToWrite& tensor : tensors) {
    file.write(reinterpret_cast<const char*>(tensor.bytes.data()), static_cast<std::streamsize>(tensor.bytes.size()));
  }
  file.close();
  if (!file) return error("E_WRITE", "{}: can't be written", file_name(path));
  return {};
}

std::string safetensors_beginning(std::span<const ReadableTensor> tensors) {
  Header header(metadata_of_pytorch());
  for (const auto& [info, read] : tensors) header.add(info.name, info.dtype, info.shape, info.bytes);
  return header.text();
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

Result<NewFile> begin_safetensors(const std::string& path, std::span<const TensorShape> tensors) {
  Result<NewFile> file = NewFile::create(path);
  if (!file) return file;
  Header header(metadata_of_pytorch());
  for (const TensorShape& tensor : tensors) header.add(tensor.name, tensor.dtype, tensor.shape, tensor.bytes());
  if (Status written = file->append(header.text()); !written) return forward_error(written);
  return file;
}

}  // namespace slora
