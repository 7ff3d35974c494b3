#include "adapters/image_magnitudes.h"

#include <cmath>
#include <cstdint>
#include <map>

#include "formats/json.h"

namespace slora {
namespace {

// What an update W + scale B A may add to an element of W, and what its parts and biases may hold: the square of a larger number overflows
// in fp32, and the norm that follows computes squares.
constexpr float kMagnitudeMax = 0x1p64f;

}  // namespace

Status check_magnitudes(std::span<const ImageTarget> targets, std::span<const std::string_view> names, std::span<const float> largest) {
  struct Product {
    std::uint32_t tensor = 0;  // of the last kind, for messages: B, or the gain
    double magnitude = 1;      // of the parts so far
    std::uint32_t parts = 0;   // which are these, a bit for each kind: shards may split a module's parts over records

    void add(PartKind kind, std::uint32_t of_tensor, double largest_number) {
      const std::uint32_t bit = 1u << static_cast<unsigned>(kind);
      if (kind == PartKind::b || kind == PartKind::gain) tensor = of_tensor;
      if ((parts & bit) == 0) magnitude *= largest_number;
      parts |= bit;
    }
  };
  std::map<std::int32_t, Product> updates, gains;  // by module: of A, B and the gains between them; of the gains of x and of the outputs
  const auto refuse = [&](std::uint32_t tensor, std::string_view what, double found) {
    return error("E_NONFINITE", "tensor {}: expected {} of a magnitude below {:.3g}, found up to {:.3g}: activations would overflow",
                 quote(names[tensor]), what, kMagnitudeMax, found);
  };
  for (const ImageTarget& target : targets) {
    for (const AdapterRecord& record : target.layout->records) {
      for (const AdapterPart& part : record.parts) {
        const std::uint32_t tensor = part.source.value;
        const bool is_scaled = part.kind == PartKind::b || part.kind == PartKind::bias_added;
        const double found = double{largest[tensor]} * (is_scaled ? std::abs(record.scale) : 1.0f);
        if (found >= kMagnitudeMax) return refuse(tensor, is_scaled ? "numbers that are, once scaled," : "numbers", found);
        switch (part.kind) {
          case PartKind::a:
          case PartKind::b:
          case PartKind::rank_gain:
          case PartKind::delta_gain:
            updates[record.module].add(part.kind, tensor, found);
            break;
          case PartKind::input_gain:
          case PartKind::gain:
            gains[record.module].add(part.kind, tensor, found);
            break;
          case PartKind::row_counts:
          case PartKind::columns:
          case PartKind::values:
          case PartKind::bias_added:
          case PartKind::bias_replacing:
          case PartKind::rows:
          case PartKind::row_ids:
          case PartKind::added_rows:
            break;
        }
      }
    }
  }
  for (const auto& [module, product] : updates) {
    if (product.magnitude >= kMagnitudeMax) return refuse(product.tensor, "products with A that are, once scaled,", product.magnitude);
  }
  for (const auto& [module, product] : gains) {
    if (product.magnitude >= kMagnitudeMax) return refuse(product.tensor, "products with the factors of the inputs", product.magnitude);
  }
  return {};
}

}  // namespace slora
