#include "comm/nccl/testing/communicator_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "backend/cuda/device_owners.h"
#include "backend/cuda/require.h"
#include "comm/nccl/nccl_communicator.h"
#include "comm/thread_communicator.h"

namespace slora::cuda {
namespace {

struct CheckedCall {
  enum class Kind : std::uint8_t { all_reduce, gather, gather_to_first } kind;
  std::int64_t rows;
  std::int64_t cols;  // of one shard where columns are gathered
  std::int64_t gap;   // numbers between rows
};

constexpr CheckedCall::Kind kKinds[] = {CheckedCall::Kind::all_reduce, CheckedCall::Kind::gather, CheckedCall::Kind::gather_to_first};

std::string text_of(const CheckedCall& call) {
  const char* const names[] = {"all_reduce", "gather", "gather_to_first"};
  return fmt::format("{} of {} rows of {} columns, {} between them", names[static_cast<int>(call.kind)], call.rows, call.cols, call.gap);
}

// What a shard passes.
Tensor tensor_of(const CheckedCall& call, std::byte* data, int shard, int shard_count) {
  const bool has_one_part = call.kind == CheckedCall::Kind::all_reduce || (call.kind == CheckedCall::Kind::gather_to_first && shard != 0);
  const std::int64_t cols = has_one_part ? call.cols : call.cols * shard_count;
  return {data, DType::f32, call.rows, cols, cols + call.gap};
}

std::vector<float> numbers_of(const Tensor& x, std::uint64_t seed, int shard) {
  std::mt19937_64 random(seed * 1000 + static_cast<std::uint64_t>(shard));
  std::vector<float> numbers(static_cast<std::size_t>(x.rows * x.row_stride));
  for (float& number : numbers) number = std::ldexp(static_cast<float>(random() % 2001) - 1000, static_cast<int>(random() % 16) - 8);
  return numbers;
}

void do_call(Communicator& communicator, const CheckedCall& call, const Tensor& x) {
  switch (call.kind) {
    case CheckedCall::Kind::all_reduce:
      return communicator.all_reduce(x);
    case CheckedCall::Kind::gather:
      return communicator.gather(x);
    case CheckedCall::Kind::gather_to_first:
      return communicator.gather_to_first(x);
  }
}

std::vector<CheckedCall> draw_calls(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<CheckedCall> calls;
  for (const CheckedCall::Kind kind : kKinds) {
    for (int i = 0; i < 4; ++i) {
      const auto rows = static_cast<std::int64_t>(i == 0 ? 1 : random() % 9);
      calls.push_back({kind, rows, 1 + static_cast<std::int64_t>(random() % 12), i % 2 == 0 ? 0 : 3});
    }
  }
  std::ranges::shuffle(calls, random);
  return calls;
}

// One shard's device memory, page-locked memory, stream and communicator.
class ShardRun {
 public:
  ShardRun(const CheckedShard& shard, const NcclCommunicator::Options& options) : device_(*shard.device), options_(options) {
    stream_ = Owned<Stream>(device_, require_value(device_.make_stream(StreamPriority::high)));
    at_device_ = require_value(allocate_buffer(device_, kBytes));
    at_host_ = require_value(allocate_host_buffer(device_, kBytes));
    communicator_ = require_value(NcclCommunicator::create(device_, stream_.get(), require_value(shard.join()), options));
  }
  // Returns the tensor's numbers afterwards, with those between rows. Twice, without a wait, so that the second finds the results of the
  // first.
  std::vector<float> run(const CheckedCall& call, const std::vector<float>& numbers) {
    const std::size_t bytes = numbers.size() * sizeof(float);
    if (bytes > 0) std::memcpy(at_host_.data(), numbers.data(), bytes);
    if (bytes > 0) require_done(device_.upload(stream_.get(), at_device_.data(), at_host_.data(), bytes));
    const Tensor x = tensor_of(call, at_device_.data(), options_.shard_index, options_.shard_count);
    for (int round = 0; round < 2; ++round) do_call(*communicator_, call, x);
    if (bytes > 0) require_done(device_.download(stream_.get(), at_host_.data(), at_device_.data(), bytes));
    require_done(device_.synchronise(stream_.get()));
    std::vector<float> found(numbers.size());
    if (bytes > 0) std::memcpy(found.data(), at_host_.data(), bytes);
    return found;
  }
  [[nodiscard]] NcclCommunicator& communicator() { return *communicator_; }

 private:
  static constexpr std::size_t kBytes = std::size_t{64} << 10;

  DeviceApi& device_;
  const NcclCommunicator::Options options_;
  Owned<Stream> stream_;
  Buffer at_device_, at_host_;
  std::unique_ptr<NcclCommunicator> communicator_;
};

}  // namespace

std::string check_communicators(std::span<const CheckedShard> shards, std::size_t numbers_at_once, std::uint64_t seed) {
  const auto shard_count = static_cast<int>(shards.size());
  std::vector<std::unique_ptr<Communicator>> references = ThreadCommunicator::make_group(shard_count);
  const std::vector<CheckedCall> calls = draw_calls(seed);
  std::mutex mutex;
  std::string wrong;
  const auto note = [&](const std::string& what) {
    const std::lock_guard lock(mutex);
    if (wrong.empty()) wrong = what;
  };
  const auto run_shard = [&](int index) {
    Communicator& reference = *references[static_cast<std::size_t>(index)];
    ShardRun run(shards[static_cast<std::size_t>(index)],
                 {.shard_index = index, .shard_count = shard_count, .numbers_at_once = numbers_at_once});
    for (const CheckedCall& call : calls) {
      std::vector<float> expected = numbers_of(tensor_of(call, nullptr, index, shard_count), seed, index);
      const std::vector<float> found = run.run(call, expected);
      const Tensor x = tensor_of(call, reinterpret_cast<std::byte*>(expected.data()), index, shard_count);
      for (int round = 0; round < 2; ++round) do_call(reference, call, x);
      for (std::size_t i = 0; i < found.size(); ++i) {
        if (std::bit_cast<std::uint32_t>(found[i]) == std::bit_cast<std::uint32_t>(expected[i])) continue;
        note(fmt::format("shard {} of {}: {}: number {}: expected {}, found {}", index, shard_count, text_of(call), i, expected[i],
                         found[i]));
      }
      run.communicator().expect_same(seed + static_cast<std::uint64_t>(call.rows));
    }
    const CollectiveCounts &counts = run.communicator().counts(), &known = reference.counts();
    if (counts.all_reduce_bytes != known.all_reduce_bytes || counts.gather_bytes != known.gather_bytes ||
        counts.gather_to_first_bytes != known.gather_to_first_bytes || counts.all_reduces != known.all_reduces) {
      note(fmt::format("shard {}: counts other calls or bytes", index));
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int index = 0; index < shard_count; ++index) {
      threads.emplace_back([&, index] {
        try {
          run_shard(index);
        } catch (const DeviceError& failure) {
          note(fmt::format("shard {}: {}", index, failure.what()));
        }
      });
    }
  }
  return wrong;
}

}  // namespace slora::cuda
