#include "comm/nccl/testing/emulated_nccl.h"

#include <barrier>
#include <string_view>
#include <utility>

#include "backend/cuda/device_owners.h"
#include "base/check.h"
#include "kernels/cuda/device.h"

namespace slora::cuda {
namespace {

// x[i] = the sum over ranks of given[rank * stride + i].
__global__ void sum_kernel(float* x, const float* given, std::int32_t ranks, std::int64_t stride, std::int64_t count) {
  for (std::int64_t i = thread_index(); i < count; i += thread_count()) {
    float sum = given[i];
    for (std::int32_t rank = 1; rank < ranks; ++rank) sum += given[rank * stride + i];
    x[i] = sum;
  }
}

RowCopy numbers_copy(float* to, const float* from, std::size_t count) {
  const std::size_t bytes = count * sizeof(float);
  return {.to = to, .to_stride = bytes, .from = from, .from_stride = bytes, .row_bytes = bytes, .rows = 1};
}

// What the ranks of a group share.
struct Group {
  struct Place {
    Owned<Event> is_given;  // the rank's numbers are in `given`
    Owned<Event> is_taken;  // and the rank has taken what it needs of the others'
    std::string_view call;
    std::size_t count = 0;
  };

  Group(DeviceApi& api, std::size_t ranks, std::size_t numbers)
      : device(api), count_max(numbers), places(ranks), barrier(static_cast<std::ptrdiff_t>(ranks)) {
    given = allocate_buffer(device, ranks * count_max * sizeof(float)).value();
    for (Place& place : places) {
      place.is_given = Owned<Event>(device, device.make_event().value());
      place.is_taken = Owned<Event>(device, device.make_event().value());
    }
  }
  [[nodiscard]] float* given_by(std::size_t rank) const { return reinterpret_cast<float*>(given.data()) + rank * count_max; }

  DeviceApi& device;
  const std::size_t count_max;
  std::vector<Place> places;  // [ranks]
  Buffer given;               // [ranks, count_max]
  std::barrier<> barrier;
};

class EmulatedRank final : public NcclRank {
 public:
  EmulatedRank(std::shared_ptr<Group> group, std::size_t index) : group_(std::move(group)), index_(index) {}

  Status all_reduce(Stream stream, float* x, std::size_t count) override {
    return exchange(stream, "all_reduce", x, count, [&]() -> Status {
      launch(sum_kernel, {1, kWarpThreads}, stream, x, group_->given_by(0), static_cast<std::int32_t>(group_->places.size()),
             static_cast<std::int64_t>(group_->count_max), static_cast<std::int64_t>(count));
      return group_->device.last_error();
    });
  }
  Status all_gather(Stream stream, float* to, const float* from, std::size_t count) override {
    return exchange(stream, "all_gather", from, count, [&] { return take_from(stream, 0, to, count); });
  }
  Status receive_from_others(Stream stream, float* to, std::size_t count) override {
    check(index_ == 0, "expected rank 0");
    return exchange(stream, "gather_to_first", nullptr, count, [&] { return take_from(stream, 1, to, count); });
  }
  Status send_to_first(Stream stream, const float* from, std::size_t count) override {
    check(index_ != 0, "expected another rank than 0");
    return exchange(stream, "gather_to_first", from, count, [] { return Status(); });
  }

 private:
  // The numbers of rank `first` and those behind it, to [ranks - first, count].
  Status take_from(Stream stream, std::size_t first, float* to, std::size_t count) {
    for (std::size_t rank = first; rank < group_->places.size(); ++rank, to += count) {
      if (Status copied = group_->device.copy_rows(stream, numbers_copy(to, group_->given_by(rank), count)); !copied) return copied;
    }
    return {};
  }
  // Gives `from` to all, then calls `take` when all have given.
  template <class Take>
  Status exchange(Stream stream, std::string_view call, const float* from, std::size_t count, const Take& take) {
    check(count <= group_->count_max, "expected at most count_max numbers");
    Group::Place& mine = group_->places[index_];
    mine.call = call;
    mine.count = count;
    Status status = give(stream, from, count);
    group_->barrier.arrive_and_wait();  // what is given is recorded
    for (const Group::Place& other : group_->places) {
      check(other.call == call && other.count == count, "expected the same collective on all ranks");
      if (status) status = group_->device.wait(stream, other.is_given.get());
    }
    if (status) status = take();
    if (status) status = group_->device.record(mine.is_taken.get(), stream);
    group_->barrier.arrive_and_wait();  // what was taken is recorded
    return status;
  }
  // When all have taken what was given before.
  Status give(Stream stream, const float* from, std::size_t count) {
    for (const Group::Place& other : group_->places) {
      if (Status waits = group_->device.wait(stream, other.is_taken.get()); !waits) return waits;
    }
    if (from != nullptr) {
      const RowCopy numbers = numbers_copy(group_->given_by(index_), from, count);
      if (Status copied = group_->device.copy_rows(stream, numbers); !copied) return copied;
    }
    return group_->device.record(group_->places[index_].is_given.get(), stream);
  }

  const std::shared_ptr<Group> group_;  // shared by its ranks
  const std::size_t index_;
};

}  // namespace

std::vector<std::unique_ptr<NcclRank>> make_emulated_ranks(DeviceApi& device, int rank_count, std::size_t count_max) {
  const auto group = std::make_shared<Group>(device, static_cast<std::size_t>(rank_count), count_max);
  std::vector<std::unique_ptr<NcclRank>> ranks;
  for (int rank = 0; rank < rank_count; ++rank) ranks.push_back(std::make_unique<EmulatedRank>(group, static_cast<std::size_t>(rank)));
  return ranks;
}

}  // namespace slora::cuda
