#include "bench/onednn_product.h"

namespace slora::bench {

std::function<void(std::size_t index)> make_onednn_product(const OneDnnShape&) { return {}; }

}  // namespace slora::bench
