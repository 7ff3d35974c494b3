#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "formats/file.h"
#include "formats/gguf_types.h"
#include "formats/readable_tensor.h"
#include "formats/tensor_form.h"

namespace slora {

// Of adapters.
struct GgufLimits {
  std::uint64_t header_bytes_max = std::uint64_t{4} << 20;
  std::uint64_t tensors_max = 16384;
  std::uint64_t entries_max = 4096;
  std::uint64_t name_bytes_max = 512;
  std::uint64_t elements_max = std::uint64_t{1} << 16;  // of all lists together
};
// Of base models, whose headers hold vocabularies. Four times the largest of those published.
inline constexpr GgufLimits kGgufModelLimits{.header_bytes_max = std::uint64_t{128} << 20,
                                             .tensors_max = std::uint64_t{1} << 16,
                                             .entries_max = std::uint64_t{1} << 16,
                                             .elements_max = std::uint64_t{1} << 22};

// A value of a GGUF file's header. Nothing: an integer that does not fit.
using GgufValue = std::variant<std::monostate, bool, std::int64_t, double, std::string, std::vector<std::int64_t>, std::vector<double>,
                               std::vector<std::string>>;

// What a header says of a tensor.
struct GgufTensor {
  TensorInfo info;  // of what is read, row-major and outermost dimension first; but its offset is that of its stored bytes in the file
  const GgufType* type;
  std::uint64_t stored_bytes;
};

// A GGUF file, as llama.cpp writes them (version 2 or 3, little-endian).
struct GgufFile {
  std::shared_ptr<const ReadOnlyFile> file;                // shared: what reads tensors keeps it open
  std::vector<std::pair<std::string, GgufValue>> entries;  // each key once
  std::vector<GgufTensor> tensors;                         // each name once; their bytes are apart

  // The value of this key, or nullptr.
  [[nodiscard]] const GgufValue* find(std::string_view key) const;
  // The value if it has this type, or nullptr.
  template <class T>
  [[nodiscard]] const T* find_as(std::string_view key) const {
    const GgufValue* const value = find(key);
    return value != nullptr ? std::get_if<T>(value) : nullptr;
  }
};

// Every length and place is checked against the file before it is used. E_GGUF names what was expected and found; E_DTYPE for a tensor of
// a type that is not read.
[[nodiscard]] Result<GgufFile> read_gguf(ReadOnlyFile file, const GgufLimits& limits = {});

// "a text", for messages.
[[nodiscard]] std::string_view type_name(const GgufValue& value);

// Reads a tensor's numbers as the F32, F16 or BF16 that they stand for, exactly. `head_count`: of heads whose outputs are the rows, and
// have pairs of RoPE next to each other; they are read as with_pairs_apart() makes them. 0: rows are read in their order. Requires:
// head_count is 0, or divides the rows of a matrix into even numbers.
[[nodiscard]] std::shared_ptr<const TensorForm> gguf_form(std::shared_ptr<const ReadOnlyFile> file, GgufTensor tensor,
                                                          std::int64_t head_count);
// Reads the gains of a norm that are stored with 1 added. Requires: the tensor is a vector of F32.
[[nodiscard]] std::shared_ptr<const TensorForm> gguf_gain_form(std::shared_ptr<const ReadOnlyFile> file, GgufTensor tensor);
[[nodiscard]] ReadableTensor readable_tensor(const GgufFile& file, const GgufTensor& tensor);

}  // namespace slora
