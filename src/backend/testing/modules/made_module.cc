// Modules for tests of what loads them. MADE_MODULE is one of:
//   0  of this build, with a device: the reference backend computes as it
//   1  of this build, where no device answers
//   2  of another build
#include "backend/backends.h"
#include "backend/device_module.h"

namespace slora {
namespace {

Result<std::unique_ptr<Backend>> create(const BackendOptions&) {
  if constexpr (MADE_MODULE == 0) return create_reference_backend();
  return error("E_DEVICE", "no device answers");
}

}  // namespace
}  // namespace slora

extern "C" const slora::DeviceModule slora_device_module;
const slora::DeviceModule slora_device_module{MADE_MODULE == 2 ? "another build" : slora::build_id().data(), slora::create};
