#pragma once
#include <cstdint>
#include <optional>

#include "adapters/adapter_files.h"
#include "adapters/peft_form.h"
#include "base/gate.h"
#include "base/result.h"
#include "formats/folder.h"
#include "formats/module_table.h"
#include "formats/safetensors.h"

namespace slora {

// Reads an adapter whose files have another program's form, without its numbers. Requires: files.form is not PEFT's.
[[nodiscard]] Result<PeftForm> read_foreign_adapter(const Folder& folder, const AdapterFiles& files, const ModuleTable* base);

// Whether a file has numbers, or is only good for what its header says.
enum class FileContents : std::uint8_t { numbers, header };

// More than an adapter has in PEFT's form is not converted when it is loaded, as the whole of it lies in memory until then.
inline constexpr std::uint64_t kConvertedBytesMax = std::uint64_t{1} << 30;

// adapter_model.safetensors of a converted adapter as a file in memory, which messages call `name`. Passes the gate as it reads numbers.
// E_TOO_LARGE, E_NO_BASE, E_READ, and E_SAFETENSORS for a name that stands twice.
[[nodiscard]] Result<SafetensorsFile> make_weights_in_memory(const PeftForm& form, std::string name, FileContents contents,
                                                             Gate* gate = nullptr, std::uint64_t bytes_max = kConvertedBytesMax);

}  // namespace slora
