// For a toolkit without cublasLt.h.
#include "backend/cuda/cublas/open_cublas.h"

namespace slora::cuda {

Result<OpenedCublas> open_cublas(DeviceApi&) { return error("E_CUBLAS", "cuBLASLt: this module was built without its header"); }

}  // namespace slora::cuda
