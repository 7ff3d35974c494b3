#pragma once
#include <utility>

#include "backend/device_error.h"
#include "base/result.h"

namespace slora::cuda {

// An error of the device is one of all requests: it goes up as an exception, to where the engine ends them.
inline void require_done(const Status& status) {
  if (!status) throw DeviceError(status.error().message);
}
template <class T>
T require_value(Result<T> result) {
  if (!result) throw DeviceError(result.error().message);
  return *std::move(result);
}

}  // namespace slora::cuda
