#include "comm/thread_communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <barrier>
#include <cstring>

#include "base/check.h"

namespace slora {
namespace {

constexpr std::int64_t kBlockElements = 256;  // summed at a time, in the first cache
constexpr std::int64_t kLineElements = 16;    // shards write to different cache lines

std::uint64_t bytes_of_elements(Tensor x) { return static_cast<std::uint64_t>(x.rows * x.cols) * sizeof(float); }

}  // namespace

// What one shard passes to a collective.
struct ThreadCommunicator::Contribution {
  std::string_view call;
  Tensor tensor;
  std::uint64_t value = 0;

  [[nodiscard]] bool agrees_with(const Contribution& other) const {
    return call == other.call && tensor.rows == other.tensor.rows && tensor.cols == other.tensor.cols && value == other.value;
  }
  [[nodiscard]] std::string text() const { return fmt::format("{} [{}, {}], value {:#x}", call, tensor.rows, tensor.cols, value); }
};

// Where the threads of a group wait for each other.
class ThreadCommunicator::Rendezvous {
 public:
  explicit Rendezvous(int shard_count) : barrier_(shard_count), contributions_(static_cast<std::size_t>(shard_count)) {}

  [[nodiscard]] int shard_count() const { return static_cast<int>(contributions_.size()); }
  void wait() { barrier_.arrive_and_wait(); }

  [[nodiscard]] Contribution& at(int shard) { return contributions_[static_cast<std::size_t>(shard)]; }
  [[nodiscard]] const Contribution* all() const { return contributions_.data(); }

 private:
  std::barrier<> barrier_;
  std::vector<Contribution> contributions_;  // [shard_count]; between two waits of its shard only read
};

ThreadCommunicator::ThreadCommunicator(std::shared_ptr<Rendezvous> rendezvous, int shard_index)
    : rendezvous_(std::move(rendezvous)), shard_index_(shard_index) {}

std::vector<std::unique_ptr<Communicator>> ThreadCommunicator::make_group(int shard_count) {
  check(shard_count >= 1, "expected at least one shard");
  const auto rendezvous = std::make_shared<Rendezvous>(shard_count);
  std::vector<std::unique_ptr<Communicator>> group;
  for (int shard = 0; shard < shard_count; ++shard) {
    group.push_back(std::unique_ptr<Communicator>(new ThreadCommunicator(rendezvous, shard)));
  }
  return group;
}

int ThreadCommunicator::shard_count() const { return rendezvous_->shard_count(); }

// Every shard compares all contributions. The first shard that differs reports it; the others wait for the end of the process, so that none
// of them reads a tensor of another shape first.
const ThreadCommunicator::Contribution* ThreadCommunicator::begin_call(const Contribution& own) {
  rendezvous_->at(shard_index_) = own;
  rendezvous_->wait();
  const Contribution& first = rendezvous_->at(0);
  for (int shard = 1; shard < shard_count(); ++shard) {
    const Contribution& other = rendezvous_->at(shard);
    if (other.agrees_with(first)) continue;
    if (shard == shard_index_) {
      check(false, fmt::format("shard {}: expected the same collective as on shard 0, {}; found {}", shard, first.text(), other.text()));
    }
    rendezvous_->wait();  // never returns: shard `shard` does not arrive
  }
  return rendezvous_->all();
}

void ThreadCommunicator::end_call() { rendezvous_->wait(); }

// Each shard sums a share of the elements and writes the sums into the tensors of all.
void ThreadCommunicator::all_reduce(Tensor x) {
  check(x.dtype == DType::f32, "expected fp32 numbers");
  const std::int64_t count = shard_count();
  const Contribution* shards = begin_call({"all_reduce", x, 0});
  const std::int64_t blocks = (x.cols + kLineElements - 1) / kLineElements;  // of a row
  const std::int64_t first = x.rows * blocks * shard_index_ / count, last = x.rows * blocks * (shard_index_ + 1) / count;
  float sums[kBlockElements];
  for (std::int64_t block = first; block < last;) {
    const std::int64_t row = block / blocks, begin = block % blocks * kLineElements;
    const std::int64_t end = std::min({begin + kBlockElements, (block % blocks + last - block) * kLineElements, x.cols});
    const auto size = static_cast<std::size_t>(end - begin);
    std::memcpy(sums, shards[0].tensor.row<float>(row) + begin, size * sizeof(float));
    for (std::int64_t shard = 1; shard < count; ++shard) {
      const float* const addend = shards[shard].tensor.row<float>(row) + begin;
      for (std::size_t i = 0; i < size; ++i) sums[i] += addend[i];
    }
    for (std::int64_t shard = 0; shard < count; ++shard) {
      std::memcpy(shards[shard].tensor.row<float>(row) + begin, sums, size * sizeof(float));
    }
    block += (end - begin + kLineElements - 1) / kLineElements;
  }
  end_call();
  ++counts_.all_reduces;
  counts_.all_reduce_bytes += bytes_of_elements(x);
}

// Each shard copies the others' columns, which their owners only read during the call.
void ThreadCommunicator::gather(Tensor x) {
  check(x.dtype == DType::f32 && x.cols % shard_count() == 0, "expected fp32 numbers in as many columns for every shard");
  const std::int64_t cols = x.cols / shard_count();
  const Contribution* shards = begin_call({"gather", x, 0});
  for (int shard = 0; shard < shard_count(); ++shard) {
    if (shard == shard_index_) continue;
    for (std::int64_t row = 0; row < x.rows; ++row) {
      std::memcpy(x.row<float>(row) + shard * cols, shards[shard].tensor.row<float>(row) + shard * cols,
                  static_cast<std::size_t>(cols) * sizeof(float));
    }
  }
  end_call();
  ++counts_.gathers;
  counts_.gather_bytes += bytes_of_elements(x);
}

// Shard 0 copies the others' columns.
void ThreadCommunicator::gather_to_first(Tensor x) {
  const bool is_first = shard_index_ == 0;
  check(x.dtype == DType::f32 && (!is_first || x.cols % shard_count() == 0), "expected fp32 numbers in as many columns for every shard");
  const std::int64_t cols = is_first ? x.cols / shard_count() : x.cols;
  const Contribution* shards = begin_call({"gather_to_first", x.cols_from(0, cols), 0});
  for (int shard = 1; is_first && shard < shard_count(); ++shard) {
    for (std::int64_t row = 0; row < x.rows; ++row) {
      std::memcpy(x.row<float>(row) + shard * cols, shards[shard].tensor.row<float>(row), static_cast<std::size_t>(cols) * sizeof(float));
    }
  }
  end_call();
  ++counts_.gathers_to_first;
  counts_.gather_to_first_bytes += bytes_of_elements(x.cols_from(0, cols)) * static_cast<std::uint64_t>(shard_count());
}

void ThreadCommunicator::expect_same(std::uint64_t value) {
  (void)begin_call({"expect_same", {}, value});
  end_call();
}

}  // namespace slora
