#include "bench/adapter_product.h"

#include <utility>

namespace slora::bench {

std::function<std::unique_ptr<Backend>(std::unique_ptr<Backend>)> backend_wrapper(AdapterProduct product, MergeCounts& counts) {
  switch (product) {
    case AdapterProduct::gathered:
      return {};
    case AdapterProduct::padded:
      return make_padded_backend;
    case AdapterProduct::merged:
      break;
  }
  return [&counts](std::unique_ptr<Backend> inner) { return make_merged_backend(std::move(inner), counts); };
}

}  // namespace slora::bench
