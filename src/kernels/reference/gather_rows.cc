#include "kernels/reference/gather_rows.h"

#include <cstring>

namespace slora::reference {

void gather_rows(Tensor out, Tensor in, std::span<const std::int32_t> rows) {
  const std::size_t row_bytes = static_cast<std::size_t>(in.cols) * bytes_of(in.dtype);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    check(rows[i] >= 0 && rows[i] < in.rows, "expected a row of the input");
    std::memcpy(out.row_bytes(static_cast<std::int64_t>(i)), in.row_bytes(rows[i]), row_bytes);
  }
}

}  // namespace slora::reference
