#include "formats/replaced_file.h"

#include <filesystem>
#include <system_error>

#include "formats/json.h"
#include "formats/new_file.h"

namespace slora {

Status replace_file(const std::string& path, const std::function<Status(const std::string& unfinished)>& write) {
  namespace fs = std::filesystem;
  const std::string unfinished = path + ".unfinished";
  std::error_code failed;
  fs::remove(unfinished, failed);  // of a run that was killed
  if (Status written = write(unfinished); !written) {
    fs::remove(unfinished, failed);
    return written;
  }
  fs::rename(unfinished, path, failed);
  if (!failed) return {};
  std::error_code ignored;
  fs::remove(unfinished, ignored);
  return error("E_WRITE", "{}: can't be written: {}", quote(path), failed.message());
}

Status replace_text_file(const std::string& path, std::string_view text) {
  return replace_file(path, [text](const std::string& unfinished) -> Status {
    Result<NewFile> file = NewFile::create(unfinished);
    if (!file) return forward_error(file);
    if (Status written = file->append(text); !written) return written;
    return file->finish();
  });
}

}  // namespace slora
