#pragma once
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

#include "adapters/adapter_store.h"
#include "adapters/folder_source.h"

namespace slora {

// A store with these options looks at a folder whenever its adapter is resolved.
inline const AdapterStoreOptions kLookAlways{.look_interval = Timestamp(0)};

// The system's folders, of which those whose path contains a given text hang or fail. Any thread.
class ScriptedFolders final : public FolderSource {
 public:
  ~ScriptedFolders() override { mend(); }

  Result<Folder> open(const FolderPath& path) const override {
    std::unique_lock lock(mutex_);
    ++open_count_;
    const auto means = [&](const std::string& text) { return !text.empty() && path.path.find(text) != std::string::npos; };
    mended_.wait(lock, [&] { return !means(hanging_); });
    if (means(failing_)) return error("E_READ", "the folder can't be opened: Stale file handle");
    lock.unlock();
    return Folder::open(path);
  }

  void hang(std::string path_part) { set(hanging_, std::move(path_part)); }
  void fail(std::string path_part) { set(failing_, std::move(path_part)); }
  void mend() {
    hang({});
    fail({});
  }
  [[nodiscard]] int open_count() const {
    const std::lock_guard lock(mutex_);
    return open_count_;
  }

 private:
  void set(std::string& out, std::string path_part) {
    const std::lock_guard lock(mutex_);
    out = std::move(path_part);
    mended_.notify_all();
  }

  mutable std::mutex mutex_;
  mutable std::condition_variable mended_;
  mutable int open_count_ = 0;     // guarded by mutex_
  std::string hanging_, failing_;  // guarded by mutex_
};

}  // namespace slora
