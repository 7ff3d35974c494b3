#pragma once
#include <optional>
#include <utility>

#include "base/result.h"

namespace slora::cuda {

// Takes what a device's calls return, for tests: keeps the first error, and gives nothing from then on.
class DeviceCalls {
 public:
  template <class T>
  T operator()(Result<T> result) {
    if (result) return *std::move(result);
    keep(result.error());
    return T{};
  }
  void operator()(const Status& status) {
    if (!status) keep(status.error());
  }
  [[nodiscard]] bool have_failed() const { return error_.has_value(); }
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  void keep(const Error& error) {
    if (!error_) error_ = error;
  }

  std::optional<Error> error_;
};

}  // namespace slora::cuda
