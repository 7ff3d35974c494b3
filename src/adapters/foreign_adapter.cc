#include "adapters/foreign_adapter.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "adapters/gguf_adapter.h"
#include "adapters/mlx_adapter.h"
#include "adapters/torchtune_adapter.h"
#include "base/check.h"
#include "formats/adapter_config.h"
#include "formats/memory_file.h"
#include "formats/safetensors_writer.h"

namespace slora {
namespace {

Result<PeftForm> read_torchtune_adapter(const Folder& folder, const std::string& name, const ModuleTable* base) {
  Result<Json> config = read_adapter_config_json(folder);
  if (!config) return forward_error(config);
  Result<SafetensorsFile> file = SafetensorsFile::open(folder.open_file(name));
  if (!file) return forward_error(file);
  return convert_torchtune_adapter(readable_tensors(std::make_shared<const SafetensorsFile>(std::move(*file))), std::move(*config), base);
}

Result<PeftForm> read_only_gguf_adapter(const Folder& folder, const ModuleTable* base) {
  const std::vector<std::string> names = gguf_files_of(folder);
  if (names.size() != 1)
    return error("E_FOREIGN", "expected one GGUF file in the adapter folder, found {}", names.empty() ? "none" : "more");
  Result<ReadOnlyFile> file = folder.open_file(names[0]);
  if (!file) return forward_error(file);
  return read_gguf_adapter(std::move(*file), base);
}

}  // namespace

Result<PeftForm> read_foreign_adapter(const Folder& folder, const AdapterFiles& files, const ModuleTable* base) {
  switch (files.form) {
    case AdapterForm::mlx:
      return read_mlx_adapter(folder);
    case AdapterForm::torchtune:
      return read_torchtune_adapter(folder, files.weights, base);
    case AdapterForm::gguf:
      return read_only_gguf_adapter(folder, base);
    case AdapterForm::peft:
      break;
  }
  fail_check("expected another form than PEFT's", std::source_location::current());
}

Result<SafetensorsFile> make_weights_in_memory(const PeftForm& form, std::string name, FileContents contents, Gate* gate,
                                               std::uint64_t bytes_max) {
  const std::uint64_t bytes = form.file_bytes();
  if (bytes > bytes_max) {
    return error("E_TOO_LARGE", "{}: expected at most {} bytes in PEFT's form, found {}; slora convert makes a PEFT folder of it", name,
                 bytes_max, bytes);
  }
  Result<MemoryFile> memory = MemoryFile::create(std::move(name));
  if (!memory) return forward_error(memory);
  const ByteSink append = [&](std::span<const std::byte> piece) -> Status {
    if (gate != nullptr && !gate->pass([] {})) return error("E_READ", "reading it took too long");
    return memory->append(piece);
  };
  Status written;
  if (contents == FileContents::numbers) {
    written = write_safetensors(append, form.tensors);
  } else {
    const std::string beginning = safetensors_beginning(form.tensors);
    written = append(std::as_bytes(std::span(beginning)));
    if (written) written = memory->extend_to(bytes);
  }
  if (!written) return forward_error(written);
  return SafetensorsFile::open(std::move(*memory).finish());
}

}  // namespace slora
