#include "kernels/reference/embed.h"

#include <algorithm>

namespace slora::reference {

void embed(Tensor out, std::span<const TokenId> ids, Tensor table, TokenId first_token) {
  for (std::size_t t = 0; t < ids.size(); ++t) {
    const std::int64_t row = ids[t] - first_token;
    float* const target = out.row<float>(static_cast<std::int64_t>(t));
    if (row >= 0 && row < table.rows) {
      std::copy_n(table.row<float>(row), table.cols, target);
    } else {
      std::fill_n(target, table.cols, 0.0f);
    }
  }
}

}  // namespace slora::reference
