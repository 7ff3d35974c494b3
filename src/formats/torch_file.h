#pragma once
#include <vector>

#include "base/result.h"
#include "formats/file.h"
#include "formats/readable_tensor.h"

namespace slora {

// The tensors of a dictionary that torch.save wrote, in its order: of the zip form (since PyTorch 1.6) or of the one before. The pickle in
// it is read as data, and nothing in it is executed (formats/pickle.h). What is anything but a dictionary of tensors is refused by name.
// E_PICKLE, E_ZIP, E_READ.
[[nodiscard]] Result<std::vector<ReadableTensor>> read_torch_file(ReadOnlyFile file);

}  // namespace slora
