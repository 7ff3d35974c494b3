#pragma once
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "adapters/adapter_version.h"
#include "api/text_model.h"
#include "base/gate.h"
#include "base/result.h"
#include "formats/folder.h"
#include "formats/sha256.h"

namespace slora {

struct AdapterTextsLimits {
  std::size_t versions_max = 32768;                // that are remembered
  std::size_t bytes_max = std::size_t{128} << 20;  // of text sides in addition to the base's
};

// The text sides of a base and of the adapters that requests named lately. An adapter's folder is read by of(), on the threads that look at
// folders: requests find() what has been read, and else wait for a look. Folders of equal content share one text side, and requests keep
// theirs whatever is forgotten here. Any thread.
class AdapterTexts {
 public:
  explicit AdapterTexts(std::shared_ptr<const TextModel> base, AdapterTextsLimits limits = {});

  [[nodiscard]] const std::shared_ptr<const TextModel>& base() const { return base_; }
  // Why it is refused is remembered, except for faults that may pass: E_READ, and E_CHANGED while someone writes the folder.
  // Waits for files.
  [[nodiscard]] Result<std::shared_ptr<const TextModel>> of(const AdapterVersion& version);
  // What of() would return, if it is remembered. Reads no file.
  [[nodiscard]] std::optional<Result<std::shared_ptr<const TextModel>>> find(const AdapterVersion& version);

  // As long as the result lives, what is read for this adapter is not forgotten: for a request that waits for it.
  [[nodiscard]] std::shared_ptr<const void> hold(const std::string& adapter);

  // Whether an adapter with this folder and `added_tokens` tokens beyond the base's would be served; remembers nothing. Passes the gate
  // between reading and building its text side; E_READ when it is closed.
  [[nodiscard]] Status check(const FolderPath& folder, std::int32_t added_tokens, Gate& gate);

  // Bytes of the text sides that are remembered, the base's left out.
  [[nodiscard]] std::size_t bytes() const;

 private:
  using Text = Result<std::shared_ptr<const TextModel>>;
  // Of one version; without a text while it is read.
  struct Entry {
    std::uint64_t version = 0;
    std::string adapter;
    std::optional<Text> text;
  };
  using Entries = std::list<std::shared_ptr<Entry>>;  // shared with those who wait for the text

  [[nodiscard]] Text read(const AdapterVersion& version);
  // What decides a text side: the files, and the tokens beyond the base's.
  using Content = std::pair<Sha256Digest, std::int32_t>;
  [[nodiscard]] std::shared_ptr<const TextModel> find_equal(const Content& content);
  void settle(const std::shared_ptr<Entry>& entry, const Text& text);
  void release(const std::string& adapter);
  // Require: mutex_ is held.
  void remember(const Text& text);
  void forget(Entries::iterator at);
  [[nodiscard]] bool is_over_limits() const { return entries_.size() > limits_.versions_max || bytes_ > limits_.bytes_max; }
  void forget_oldest();

  const std::shared_ptr<const TextModel> base_;
  const AdapterTextsLimits limits_;
  std::mutex building_mutex_;  // one tokenizer is built at a time: its file takes much memory as a tree
  mutable std::mutex mutex_;
  std::condition_variable read_;
  Entries entries_;  // guarded by mutex_, as all below; the one used last comes first
  std::map<std::uint64_t, Entries::iterator> by_version_;
  std::map<Content, std::weak_ptr<const TextModel>> by_content_;
  std::map<const TextModel*, std::size_t> users_;  // entries of each text side
  std::map<std::string, std::size_t> holds_;       // of each adapter
  std::size_t bytes_ = 0;
};

}  // namespace slora
