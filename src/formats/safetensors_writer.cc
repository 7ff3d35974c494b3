#include "formats/safetensors_writer.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "formats/file.h"
#include "formats/json.h"

namespace slora {

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
  for (const TensorToWrite& tensor : tensors) {
    const std::uint64_t begin = end;
    end += tensor.bytes.size();
    header[tensor.name] = {{"dtype", name_of(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // so that tensors are aligned in the file
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  for (std::size_t i = 0; i < 8; ++i) file.put(static_cast<char>(text.size() >> (8 * i) & 0xffu));
  file << text;
  for (const TensorToWrite& tensor : tensors) {
    file.write(reinterpret_cast<const char*>(tensor.bytes.data()), static_cast<std::streamsize>(tensor.bytes.size()));
  }
  file.close();
  if (!file) return error("E_WRITE", "{}: can't be written", file_name(path));
  return {};
}

}  // namespace slora
