#pragma once
#include <cstdint>

#include "kernels/cpu/int4_weight.h"
#include "kernels/cpu/int8_weight.h"
#include "kernels/cpu/packed_weight.h"

namespace slora::cpu {

// W [out, in] whose last rows, from the beginning of a panel on, are kept in more bits than those before them. A view; owns nothing.
template <class Coarse, class Fine>
struct MixedWeight {
  Coarse coarse;  // [its panels * 32, in]
  Fine fine;      // [out, in], of which it has the panels from fine.first_panel on

  [[nodiscard]] std::int64_t panel_count() const { return fine.panel_count(); }
  [[nodiscard]] std::size_t bytes() const { return coarse.bytes() + fine.bytes(); }
};
using Int4Int8Weight = MixedWeight<Int4Weight, Int8Weight>;
using Int8Bf16Weight = MixedWeight<Int8Weight, PackedWeight>;

}  // namespace slora::cpu
