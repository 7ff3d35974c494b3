#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "formats/safetensors.h"

namespace slora {

// How a tensor is read that files keep in another form than its plain numbers: quantised, rounded, its rows in another order. Holds what
// it reads from. Constant; any thread.
class TensorForm {
 public:
  virtual ~TensorForm() = default;
  // Fills `out` with whole rows from `row_begin` on, of the type and width that the tensor's info says; an element of a vector is a row.
  [[nodiscard]] virtual Status read_rows(std::int64_t row_begin, std::span<std::byte> out) const = 0;
  // How many rows are read well at a time, at least: a form whose rows lie across the file reads a piece of each of its lines for them.
  [[nodiscard]] virtual std::int64_t rows_at_once() const { return 1; }
  // What the file calls the type of its numbers, where that is no element type: "Q4_K". Empty: they are stored in the info's type.
  [[nodiscard]] virtual std::string_view stored_as() const { return {}; }
};

// A tensor as it lies in a safetensors file, for forms to read from.
struct StoredTensor {
  std::shared_ptr<const SafetensorsFile> file;
  TensorInfo info;

  // out.size() bytes from `begin`. Requires: they are inside the tensor.
  [[nodiscard]] Status read_part(std::uint64_t begin, std::span<std::byte> out) const { return file->read_part(info, begin, out); }
};

// What NF4 keeps of a tensor's numbers (round_to_nf4), in its own type. Requires: a float type.
[[nodiscard]] std::shared_ptr<const TensorForm> nf4_rounded(StoredTensor tensor);

}  // namespace slora
