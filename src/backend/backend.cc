#include "backend/backend.h"

namespace slora {

DeviceVector Backend::make_vector(std::span<const float> numbers) {
  DeviceVector vector{allocate(numbers.size_bytes()), static_cast<std::int64_t>(numbers.size())};
  if (!numbers.empty()) upload(vector.view(), numbers.data());
  return vector;
}

}  // namespace slora
