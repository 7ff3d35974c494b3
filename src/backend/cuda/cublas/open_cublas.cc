#include "backend/cuda/cublas/open_cublas.h"

#include "backend/cuda/cublas/cublas_functions.h"
#include "backend/cuda/cublas/cublas_product.h"

namespace slora::cuda {

Result<OpenedCublas> open_cublas(DeviceApi& device) {
  Result<CublasFunctions> functions = load_cublas(cublas_library_name());
  if (!functions) return forward_error(functions);
  Result<std::unique_ptr<CublasProduct>> product = CublasProduct::create(device, *functions);
  if (!product) return forward_error(product);
  return OpenedCublas{*std::move(product), cublas_name(*functions)};
}

}  // namespace slora::cuda
