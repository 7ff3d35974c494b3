#pragma once
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "adapters/adapter_record.h"
#include "base/gate.h"
#include "base/result.h"
#include "formats/safetensors.h"

namespace slora {

// Reads what the parts of an adapter's records hold, whether its file has them as they are or they are derived. Borrows the file. One
// thread.
class PartReader {
 public:
  PartReader(const SafetensorsFile& file, std::vector<std::shared_ptr<const DerivedTensor>> derived)
      : file_(file), derived_(std::move(derived)) {}

  // The slice of a part: [row_count, col_count]. E_READ, E_NONFINITE, and what computing a derived tensor may refuse.
  [[nodiscard]] Result<std::vector<float>> read(const AdapterPart& part);
  // One row of it.
  [[nodiscard]] Result<std::vector<float>> read_row(const AdapterPart& part, std::int64_t row);

 private:
  [[nodiscard]] Result<std::vector<float>> read(const AdapterPart& part, std::int64_t row_begin, std::int64_t row_count);

  const SafetensorsFile& file_;
  const std::vector<std::shared_ptr<const DerivedTensor>> derived_;
  Gate gate_;  // never closed
};

}  // namespace slora
