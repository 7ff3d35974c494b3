#include "backend/cuda/testing/step_protocol.h"

#include <chrono>

#include "kernels/cuda/device.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 32;

__global__ void double_numbers(std::int32_t* out, const std::int32_t* in, std::int32_t count) {
  for (std::int32_t i = thread_index(); i < count; i += thread_count()) out[i] = 2 * in[i];
}

std::int32_t number_of(std::int32_t step, std::size_t index) { return 1000 * (step + 1) + static_cast<std::int32_t>(index); }

}  // namespace

StepProtocol::StepProtocol(DeviceApi& device, StepMistake mistake) : device_(device), mistake_(mistake) {
  in_ = calls_(device.make_stream(StreamPriority::normal));
  compute_ = calls_(device.make_stream(StreamPriority::high));
  out_ = calls_(device.make_stream(StreamPriority::normal));
  for (Slot& slot : slots_) {
    slot.numbers = allocate_host();
    slot.results = allocate_host();
    slot.numbers_at_device = allocate();
    slot.results_at_device = allocate();
    for (Event* const event : {&slot.uploaded, &slot.computed, &slot.done}) *event = calls_(device.make_event());
  }
}

// Gives back what was made, also after an error.
StepProtocol::~StepProtocol() {
  DeviceCalls ignored;
  for (const Stream stream : {in_, compute_, out_}) {
    if (stream == nullptr) continue;
    ignored(device_.synchronise(stream));
    ignored(device_.destroy(stream));
  }
  for (const Slot& slot : slots_) {
    for (std::int32_t* const memory : {slot.numbers, slot.results}) {
      if (memory != nullptr) ignored(device_.free_host(reinterpret_cast<std::byte*>(memory)));
    }
    for (std::int32_t* const memory : {slot.numbers_at_device, slot.results_at_device}) {
      if (memory != nullptr) ignored(device_.free(reinterpret_cast<std::byte*>(memory)));
    }
    for (const Event event : {slot.uploaded, slot.computed, slot.done}) {
      if (event != nullptr) ignored(device_.destroy(event));
    }
  }
}

std::int64_t StepProtocol::run(std::int32_t steps) {
  std::int64_t wrong = 0;
  for (std::int32_t step = 0; step < steps && !calls_.have_failed(); ++step) {
    submit(step);
    if (step > 0) wrong += collect(step - 1);
  }
  return wrong + collect(steps - 1);
}

void StepProtocol::submit(std::int32_t step) {
  // With numbers_reused_early all steps use one slot's numbers, though that slot's step may be under way.
  Slot& slot = slots_[static_cast<std::size_t>(step % 2)];
  std::int32_t* const numbers = mistake_ == StepMistake::numbers_reused_early ? slots_[0].numbers : slot.numbers;
  std::int32_t* const results = mistake_ == StepMistake::shared_results ? slots_[0].results_at_device : slot.results_at_device;
  for (std::size_t i = 0; i < kNumbers; ++i) numbers[i] = number_of(step, i);
  calls_(device_.upload(in_, slot.numbers_at_device, numbers, kBytes));
  calls_(device_.record(slot.uploaded, in_));
  if (mistake_ != StepMistake::compute_before_upload) calls_(device_.wait(compute_, slot.uploaded));
  if (calls_.have_failed()) return;
  launch(double_numbers, {1, kThreads}, compute_, results, slot.numbers_at_device, static_cast<std::int32_t>(kNumbers));
  calls_(device_.last_error());
  calls_(device_.record(slot.computed, compute_));
  if (mistake_ != StepMistake::download_before_results) calls_(device_.wait(out_, slot.computed));
  calls_(device_.download(out_, slot.results, results, kBytes));
  calls_(device_.record(slot.done, out_));
}

std::int64_t StepProtocol::collect(std::int32_t step) {
  const Slot& slot = slots_[static_cast<std::size_t>(step % 2)];
  if (mistake_ != StepMistake::results_read_early) {
    while (!calls_.have_failed() && !calls_(device_.synchronise(slot.done, std::chrono::milliseconds(5)))) continue;
  }
  if (calls_.have_failed()) return 0;
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < kNumbers; ++i) wrong += slot.results[i] != 2 * number_of(step, i) ? 1 : 0;
  return wrong;
}

}  // namespace slora::cuda
