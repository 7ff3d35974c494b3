#include "backend/cuda/testing/device_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include "backend/cuda/testing/device_calls.h"

namespace slora::cuda {
namespace {

constexpr std::size_t kParts = 4;
constexpr std::chrono::milliseconds kWaitMax{10'000};

// Page-locked and device memory of kParts parts, two streams and two events.
class DeviceCheck {
 public:
  DeviceCheck(DeviceApi& device, std::size_t part_bytes) : device_(device), part_bytes_(part_bytes) {
    stream_ = calls_(device.make_stream(StreamPriority::high));
    other_stream_ = calls_(device.make_stream(StreamPriority::normal));
    event_ = calls_(device.make_event());
    at_device_ = calls_(device.allocate(kParts * part_bytes_));
    from_host_ = calls_(device.allocate_host(kParts * part_bytes_));
    to_host_ = calls_(device.allocate_host(kParts * part_bytes_));
  }
  ~DeviceCheck() {
    static_cast<void>(device_.free_host(to_host_));
    static_cast<void>(device_.free_host(from_host_));
    static_cast<void>(device_.free(at_device_));
    static_cast<void>(device_.destroy(event_));
    static_cast<void>(device_.destroy(other_stream_));
    static_cast<void>(device_.destroy(stream_));
  }
  DeviceCheck(const DeviceCheck&) = delete;
  DeviceCheck& operator=(const DeviceCheck&) = delete;

  std::string run() {
    if (!calls_.have_failed()) check_copies();
    if (!calls_.have_failed()) check_rows();
    if (!calls_.have_failed()) check_events();
    if (!calls_.have_failed()) check_graph();
    return calls_.have_failed() ? calls_.error()->message : wrong_;
  }

 private:
  [[nodiscard]] std::byte* part(std::byte* memory, std::size_t index) const { return memory + index * part_bytes_; }
  void set_part(std::size_t index, std::uint8_t value) { std::fill_n(part(from_host_, index), part_bytes_, std::byte{value}); }
  void expect_parts(const char* what, const std::vector<std::uint8_t>& values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::byte* const begin = part(to_host_, i);
      const auto wrong = std::find_if(begin, begin + part_bytes_, [&](std::byte byte) { return byte != std::byte{values[i]}; });
      if (wrong == begin + part_bytes_ || !wrong_.empty()) continue;
      wrong_ = fmt::format("{}: byte {} of part {}: expected {}, found {}", what, wrong - begin, i, values[i], static_cast<int>(*wrong));
    }
  }
  void wait_for(Stream stream) {
    calls_(device_.record(event_, stream));
    const bool is_done = calls_(device_.synchronise(event_, kWaitMax));
    if (!is_done && wrong_.empty()) wrong_ = "expected the device to be done within ten seconds";
  }

  void copy_part(Stream stream, std::size_t to, std::size_t from) {
    calls_(device_.copy_rows(stream, {part(at_device_, to), part_bytes_, part(at_device_, from), part_bytes_, part_bytes_, 1}));
  }

  void check_copies() {
    for (std::size_t i = 0; i < kParts; ++i) set_part(i, static_cast<std::uint8_t>(i + 1));
    calls_(device_.upload(stream_, at_device_, from_host_, 2 * part_bytes_));
    const PieceCopy pieces[] = {{part(at_device_, 3), part(from_host_, 2), part_bytes_},
                                {part(at_device_, 2), part(from_host_, 3), part_bytes_}};
    calls_(device_.upload_pieces(stream_, pieces));
    copy_part(stream_, 0, 1);
    calls_(device_.fill_bytes(stream_, part(at_device_, 1), 9, part_bytes_));
    calls_(device_.download(stream_, to_host_, at_device_, kParts * part_bytes_));
    wait_for(stream_);
    expect_parts("copies", {2, 9, 4, 3});
  }

  // Every second part over the one before it.
  void check_rows() {
    for (std::size_t i = 0; i < kParts; ++i) set_part(i, static_cast<std::uint8_t>(30 + i));
    calls_(device_.upload(stream_, at_device_, from_host_, kParts * part_bytes_));
    calls_(device_.copy_rows(stream_, {at_device_, 2 * part_bytes_, part(at_device_, 1), 2 * part_bytes_, part_bytes_, 2}));
    calls_(device_.download(stream_, to_host_, at_device_, kParts * part_bytes_));
    wait_for(stream_);
    expect_parts("rows", {31, 31, 33, 33});
  }

  // Each stream waits for the other's copy: without that, old bytes would come back.
  void check_events() {
    const Event back = calls_(device_.make_event());
    for (std::uint8_t round = 0; round < 8; ++round) {
      calls_(device_.fill_bytes(stream_, at_device_, round, kParts * part_bytes_));
      calls_(device_.record(event_, stream_));
      calls_(device_.wait(other_stream_, event_));
      calls_(device_.download(other_stream_, to_host_, at_device_, kParts * part_bytes_));
      calls_(device_.record(back, other_stream_));
      calls_(device_.wait(stream_, back));
    }
    wait_for(stream_);
    expect_parts("events", {7, 7, 7, 7});
    if (!calls_(device_.is_done(back)) && wrong_.empty()) wrong_ = "expected an event to be done that another stream waited for";
    calls_(device_.destroy(back));
  }

  void check_graph() {
    const Event branch = calls_(device_.make_event());
    calls_(device_.begin_capture(stream_));
    calls_(device_.upload(stream_, at_device_, from_host_, part_bytes_));
    calls_(device_.record(branch, stream_));
    calls_(device_.wait(other_stream_, branch));
    copy_part(other_stream_, 1, 0);
    copy_part(stream_, 2, 0);
    calls_(device_.record(branch, other_stream_));
    calls_(device_.wait(stream_, branch));
    calls_(device_.download(stream_, to_host_, at_device_, 3 * part_bytes_));
    const Graph graph = calls_(device_.end_capture(stream_));
    for (const std::uint8_t value : {20, 21}) {
      set_part(0, value);
      calls_(device_.replay(graph, stream_));
      wait_for(stream_);
      expect_parts("graph", {value, value, value});
    }
    calls_(device_.destroy(graph));
    calls_(device_.destroy(branch));
  }

  DeviceApi& device_;
  const std::size_t part_bytes_;
  DeviceCalls calls_;
  Stream stream_ = nullptr, other_stream_ = nullptr;
  Event event_ = nullptr;
  std::byte *at_device_ = nullptr, *from_host_ = nullptr, *to_host_ = nullptr;
  std::string wrong_;
};

}  // namespace

std::string check_device(DeviceApi& device, std::size_t part_bytes) { return DeviceCheck(device, part_bytes).run(); }

}  // namespace slora::cuda
