#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "adapters/adapter_store.h"
#include "backend/backend.h"
#include "engine/model_shards.h"
#include "formats/model_folder.h"
#include "formats/safetensors.h"

namespace slora::testing {

// A folder below tests/golden/, or `name` itself when it is an absolute path.
std::string golden_folder(const std::string& name);
// The golden models that have this file or folder.
std::vector<std::string> golden_models_with(const std::string& part);

// The tensors of one expected.safetensors.
class Expected {
 public:
  explicit Expected(const std::string& model);
  [[nodiscard]] bool has(const std::string& name) const;
  [[nodiscard]] std::vector<TokenId> tokens(const std::string& name) const;
  [[nodiscard]] std::vector<float> floats(const std::string& name) const;
  // The tensors whose names begin so.
  [[nodiscard]] std::vector<std::string> names_with(const std::string& prefix) const;

 private:
  SafetensorsFile file_;
};

// What a backend is held to.
struct BackendCase {
  const char* backend;
  bool exact_arithmetic;          // fp32: logits within `logit_error_max`; else a relative error within 2e-2 at every position
  double logit_error_max = 1e-5;  // PiSSA's are held to 1e-4
};
// What ctest prints of a case.
void PrintTo(const BackendCase& test, std::ostream* out);

// Fails unless one position's logits are close to the expected ones.
void expect_close(const std::vector<float>& found, std::span<const float> expected, const BackendCase& backend, const std::string& what);
// The same of every position that `expected` [positions, vocabulary] holds, which are the last.
void expect_close(const std::vector<std::vector<float>>& found, const std::vector<float>& expected, const BackendCase& backend,
                  const std::string& what);

// Consecutive tokens of one stream to compute. Streams keep their pages from call to call, so a prompt may be cut anywhere.
struct Piece {
  int stream = 0;
  std::vector<TokenId> tokens;
  const AdapterView* adapter = nullptr;  // null: base
};

// A golden model in one piece or in shards, driven without scheduler: streams and adapters take pages in random order from one arena, or
// the same pages from the arena of every shard.
class GoldenModel {
 public:
  struct Options {
    std::string backend = "reference";
    int threads = 1;  // of each shard
    std::int32_t shards = 1;
    std::int32_t page_tokens = 4;
    std::uint64_t page_seed = 1;
    WeightStorage weights = WeightStorage::bf16;  // reference keeps fp32, with int4 of the values that int4 keeps
    WeightRounding rounding = WeightRounding::none;
    std::function<std::unique_ptr<Backend>()> make_backend{};  // instead of `backend`
  };
  GoldenModel(const std::string& name, const Options& options);

  // Loads adapters/NAME of the model's folder, or the folder NAME when it is an absolute path, into the pool.
  const AdapterView* adapter(const std::string& name);
  // The same, or nullptr when a vector of it is larger than a page.
  const AdapterView* adapter_if_it_fits(const std::string& name);
  // Whether the backend lacks what it does.
  [[nodiscard]] bool refuses(const std::string& name);
  // Logits of every row, piece after piece: [sum of tokens][vocab, with the tokens that only the row's adapter has].
  std::vector<std::vector<float>> run(const std::vector<Piece>& pieces);
  // Logits of a prompt computed at once on a stream of its own.
  std::vector<std::vector<float>> run_alone(const std::vector<TokenId>& tokens, const AdapterView* adapter = nullptr);
  void forget_streams();

  [[nodiscard]] const ModelConfig& config() const { return model_->first_model().config(); }
  // Of shard 0's communicator.
  [[nodiscard]] const CollectiveCounts& counts() const { return model_->shard(0).communicator->counts(); }
  // Called after every layer from now on.
  void set_after_layer(std::function<void()> after_layer) { after_layer_ = std::move(after_layer); }

 private:
  struct Stream {
    std::vector<PageIndex> pages;
    std::int32_t position = 0;
  };
  PageIndex take_page();
  Result<std::shared_ptr<const AdapterVersion>> resolve(const std::string& name);

  std::string folder_;
  std::unique_ptr<ModelShards> model_;
  std::unique_ptr<AdapterStore> store_;
  std::function<void()> after_layer_;
  std::vector<PageIndex> free_;
  std::map<int, Stream> streams_;
  std::map<std::string, std::unique_ptr<const AdapterView>> adapters_;
  std::map<AdapterId, std::vector<PageIndex>> shared_pages_;  // that adapters have in common
  int next_own_stream_ = 1000000;
};

}  // namespace slora::testing
