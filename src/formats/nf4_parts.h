#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/quantised_form.h"
#include "formats/weight_parts.h"

namespace slora {

// The ends of names of the tensors that hold JSON about a weight of bitsandbytes.
inline constexpr std::string_view kNf4State = ".weight.quant_state.bitsandbytes__nf4";
inline constexpr std::string_view kFp4State = ".weight.quant_state.bitsandbytes__fp4";

struct Nf4Parts {
  Nf4Matrix matrix;
  std::vector<std::int64_t> shape;  // [out, in]
};

// A weight that bitsandbytes quantised to NF4, of its parts. The errors of WeightParts; E_BAD_JSON, E_UNSUPPORTED_MODEL for what is not
// served.
[[nodiscard]] Result<Nf4Parts> assemble_nf4(const WeightParts& parts);

}  // namespace slora
