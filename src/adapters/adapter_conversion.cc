#include "adapters/adapter_conversion.h"

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "adapters/adapter_files.h"
#include "adapters/adapter_folder.h"
#include "adapters/foreign_adapter.h"
#include "adapters/torch_adapter.h"
#include "formats/new_file.h"
#include "formats/new_folder.h"
#include "formats/safetensors_writer.h"
#include "formats/text_files.h"

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

Status write_file(const std::string& path, const std::function<Status(const ByteSink& sink)>& write) {
  Result<NewFile> file = NewFile::create(path);
  if (!file) return forward_error(file);
  if (Status written = write([&](std::span<const std::byte> bytes) { return file->append(bytes); }); !written) return written;
  return file->finish();
}

Status write_form(const NewFolder& out, const PeftForm& form) {
  const auto write_config = [&](const ByteSink& sink) { return sink(std::as_bytes(std::span(form.config))); };
  if (Status written = write_file(out.file(kPeftConfig), write_config); !written) return written;
  return write_file(out.file(kPeftWeights), [&](const ByteSink& sink) { return write_safetensors(sink, form.tensors); });
}

// With the limits that a server has for them. config.json describes the base.
Result<std::vector<std::string>> copy_texts(const NewFolder& out, const std::string& folder) {
  const Result<TextFiles> texts = TextFiles::read(folder);
  if (!texts) return tl::unexpected(texts.error());
  std::vector<std::string> copied;
  for (const auto& [name, content] : texts->contents()) {
    if (name == "config.json") continue;
    std::error_code failed;
    if (const fs::path parent = fs::path(name).parent_path(); !parent.empty()) fs::create_directory(out.file(parent.string()), failed);
    if (failed) return error("E_WRITE", "{}: can't be made: {}", name, failed.message());
    const auto write = [&](const ByteSink& sink) { return sink(std::as_bytes(std::span(content))); };
    if (Status written = write_file(out.file(name), write); !written) return forward_error(written);
    copied.push_back(name);
  }
  return copied;
}

}  // namespace

Result<Conversion> convert_adapter(const ConversionOptions& options) {
  Result<NewFolder> out = NewFolder::create(options.out);
  if (!out) return forward_error(out);
  Result<Folder> folder = Folder::open(FolderPath(options.folder));
  if (!folder) return error(folder.error().code, "{}: {}", options.folder, folder.error().message);
  const Result<PeftForm> form = read_form(*folder, options);
  if (!form) return tl::unexpected(form.error());

  if (Status written = write_form(*out, *form); !written) return forward_error(written);
  Result<std::vector<std::string>> copied = copy_texts(*out, options.folder);
  if (!copied) return forward_error(copied);
  // Whether the file says what it should, as far as this can be known without a base.
  if (const Result<SafetensorsFile> weights = SafetensorsFile::open(out->file(kPeftWeights)); !weights)
    return tl::unexpected(weights.error());
  if (Status published = out->publish(); !published) return forward_error(published);
  return Conversion{form->tensors.size(), form->file_bytes(), std::move(*copied)};
}

}  // namespace slora
