#include "kernels/reference/embed.h"

#include <algorithm>

namespace slora::reference {

void embed(Tensor out, std::span<const TokenId> ids, Tensor table) {
  for (std::size_t t = 0; t < ids.size(); ++t) {
    check(ids[t] >= 0 && ids[t] < table.rows, "expected a token of the vocabulary");
    std::copy_n(table.row<float>(ids[t]), table.cols, out.row<float>(static_cast<std::int64_t>(t)));
  }
}

}  // namespace slora::reference
