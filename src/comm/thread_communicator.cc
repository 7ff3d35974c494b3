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
class ThreadCommunicator::Meeting {
 public:
  explicit Meeting(int shard_count) : barrier_(shard_count), contributions_(static_cast<std::size_t>(shard_count)) {}

  [[nodiscard]] int shard_count() const { return static_cast<int>(contributions_.size()); }
  void wait() { barrier_.arrive_and_wait(); }

  [[nodiscard]] Contribution& at(int shard) { return contributions_[static_cast<std::size_t>(shard)]; }
  [[nodiscard]] const Contribution* all() const { return contributions_.data(); }

 private:
  std::barrier<> barrier_;
  std::vector<Contribution> contributions_;  // [shard_count]; between two waits of its shard only read
};

ThreadCommunicator::ThreadCommunicator(std::shared_ptr<Meeting> meeting, int shard_index)
    : meeting_(std::move(meeting)), shard_index_(shard_index) {}

std::vector<std::unique_ptr<Communicator>> ThreadCommunicator::make_group(int shard_count) {
  check(shard_count >= 1, "expected at least one shard");
  const auto meeting = std::make_shared<Meeting>(shard_count);
  std::vector<std::unique_ptr<Communicator>> group;
  for (int shard = 0; shard < shard_count; ++shard) {
    group.push_back(std::unique_ptr<Communicator>(new ThreadCommunicator(meeting, shard)));
  }
  return group;
}

int ThreadCommunicator::shard_count() const { return meeting_->shard_count(); }

const ThreadCommunicator::Contribution* ThreadCommunicator::meet(const Contribution& own) {
  meeting_->at(shard_index_) = own;
  meeting_->wait();
  const Contribution& first = meeting_->at(0);
  if (!own.agrees_with(first)) {
    check(false, fmt::format("shard {}: expected the same collective as on shard 0, {}; found {}", shard_index_, first.text(), own.text()));
  }
  return meeting_->all();
}

void ThreadCommunicator::leave() { meeting_->wait(); }

// Each shard sums a share of the elements and writes the sums into the tensors of all.
void ThreadCommunicator::all_reduce(Tensor x) {
  check(x.dtype == DType::f32, "expected fp32 numbers");
  const std::int64_t count = shard_count();
  const Contribution* shards = meet({"all_reduce", x, 0});
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
  leave();
  ++counts_.all_reduces;
  counts_.all_reduce_bytes += bytes_of_elements(x);
}

// Each shard copies the others' columns, which their owners only read during the call.
void ThreadCommunicator::gather(Tensor x) {
  check(x.dtype == DType::f32 && x.cols % shard_count() == 0, "expected fp32 numbers in as many columns for every shard");
  const std::int64_t cols = x.cols / shard_count();
  const Contribution* shards = meet({"gather", x, 0});
  for (int shard = 0; shard < shard_count(); ++shard) {
    if (shard == shard_index_) continue;
    for (std::int64_t row = 0; row < x.rows; ++row) {
      std::memcpy(x.row<float>(row) + shard * cols, shards[shard].tensor.row<float>(row) + shard * cols,
                  static_cast<std::size_t>(cols) * sizeof(float));
    }
  }
  leave();
  ++counts_.gathers;
  counts_.gather_bytes += bytes_of_elements(x);
}

void ThreadCommunicator::expect_same(std::uint64_t value) {
  (void)meet({"expect_same", {}, value});
  leave();
}

}  // namespace slora
