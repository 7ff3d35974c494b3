#pragma once
#include <memory>
#include <string>

#include "backend/cuda/base_product.h"
#include "backend/cuda/device_api.h"

namespace slora::cuda {

struct OpenedCublas {
  std::unique_ptr<BaseProduct> product;
  std::string name;  // "cuBLASLt 13.1.0"
};

// Opens NVIDIA's library where the system's loader finds it (LD_LIBRARY_PATH, ldconfig), for the calling thread's device, which outlives
// it. Refuses with E_CUBLAS, saying why: no library, a function that it lacks, or no handle.
[[nodiscard]] Result<OpenedCublas> open_cublas(DeviceApi& device);

}  // namespace slora::cuda
