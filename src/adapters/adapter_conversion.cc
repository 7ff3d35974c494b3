#include "adapters/adapter_conversion.h"

#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "adapters/adapter_files.h"
#include "adapters/adapter_folder.h"
#include "adapters/foreign_adapter.h"
#include "adapters/torch_adapter.h"
#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

Result<PeftForm> read_form(const Folder& folder, const ConversionOptions& options) {
  const AdapterFiles files = find_adapter_files(folder);
  const bool is_peft = files.form == AdapterForm::peft;
  if (is_peft && folder.exists(files.weights) && !folder.exists(kLongLoraWeights) && !options.rope_factor)
    return error("E_FOREIGN", "{} is a PEFT folder already: it is served as it is", options.folder);
  if (is_peft && !folder.exists(files.weights) && find_pickle(folder).empty())
    return error("E_FOREIGN", "{}: expected weights of an adapter, found none of a form that is converted", options.folder);
  if (is_peft) return read_torch_adapter(folder, options.rope_factor, options.base);
  if (options.rope_factor) return error("E_ROPE", "{}: expected no factor of positions for an adapter of this form", options.folder);
  return read_foreign_adapter(folder, files, options.base);
}

// One that is complete on the disk.
Status write_file(const fs::path& path, const std::function<Status(const ByteSink& sink)>& write) {
  std::ofstream file(path, std::ios::binary);
  const auto refuse = [&]() -> Status { return error("E_WRITE", "{}: can't be written; is the disk full?", path.string()); };
  const ByteSink sink = [&](std::span<const std::byte> bytes) -> Status {
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return file ? Status() : refuse();
  };
  if (Status written = write(sink); !written) return written;
  file.close();
  return file ? Status() : refuse();
}

Status write_form(const fs::path& out, const PeftForm& form) {
  const auto write_config = [&](const ByteSink& sink) { return sink(std::as_bytes(std::span(form.config))); };
  if (Status written = write_file(out / kPeftConfig, write_config); !written) return written;
  return write_file(out / kPeftWeights, [&](const ByteSink& sink) { return write_safetensors(sink, form.tensors); });
}

Result<std::vector<std::string>> copy_texts(const fs::path& out, const fs::path& folder) {
  std::vector<std::string> copied;
  for (const std::string_view name : text_files_of_adapters()) {
    std::error_code failed;
    if (name == "config.json" || !fs::exists(folder / name, failed)) continue;  // the former describes the base
    fs::copy(folder / name, out / name, fs::copy_options::recursive, failed);
    if (failed) return error("E_WRITE", "{}: can't be copied: {}", (folder / name).string(), failed.message());
    copied.emplace_back(name);
  }
  return copied;
}

// Whether the files say what they should, as far as this can be known without a base.
Status check_written(const fs::path& out) {
  Result<Folder> folder = Folder::open(FolderPath(out.string()));
  if (!folder) return forward_error(folder);
  const Result<SafetensorsFile> weights = SafetensorsFile::open(folder->open_file(kPeftWeights));
  return weights ? Status() : tl::unexpected(weights.error());
}

}  // namespace

Result<Conversion> convert_adapter(const ConversionOptions& options) {
  std::error_code failed;
  const fs::path out = fs::absolute(fs::path(options.out) / "", failed).parent_path();  // without a slash at its end
  if (fs::exists(fs::symlink_status(out, failed))) return error("E_WRITE", "{} exists already: nothing is overwritten", options.out);
  Result<Folder> folder = Folder::open(FolderPath(options.folder));
  if (!folder) return error(folder.error().code, "{}: {}", options.folder, folder.error().message);
  const Result<PeftForm> form = read_form(*folder, options);
  if (!form) return tl::unexpected(form.error());

  const Result<TemporaryFolder> parent = TemporaryFolder::create_in(out.parent_path());
  if (!parent) return tl::unexpected(parent.error());
  const fs::path made = parent->file("adapter");  // not the temporary folder itself, which is this user's alone
  if (!fs::create_directory(made, failed)) return error("E_WRITE", "{}: can't be made: {}", made.string(), failed.message());
  if (Status written = write_form(made, *form); !written) return forward_error(written);
  Result<std::vector<std::string>> copied = copy_texts(made, options.folder);
  if (!copied) return forward_error(copied);
  if (Status checked = check_written(made); !checked) return forward_error(checked);
  fs::rename(made, out, failed);
  if (failed) return error("E_WRITE", "{}: can't be made: {}", options.out, failed.message());
  return Conversion{form->tensors.size(), form->file_bytes(), std::move(*copied)};
}

}  // namespace slora
