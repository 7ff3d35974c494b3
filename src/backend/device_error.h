#pragma once
#include <stdexcept>

namespace slora {

// Thrown by an op whose device has failed for good: nothing that it computes from then on can be used. The engine ends all requests with an
// error, and the process ends.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace slora
