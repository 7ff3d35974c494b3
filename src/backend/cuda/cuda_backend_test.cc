#include "backend/cuda/cuda_backend.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "backend/adapter_runs.h"
#include "backend/cuda/testing/emulated_backend.h"
#include "backend/device_error.h"
#include "backend/testing/op_fixture.h"

namespace slora::cuda {
namespace {

using slora::testing::MadeAdapter;
using slora::testing::MadeRecord;
using slora::testing::MadeSegments;
using slora::testing::Matrix;
using slora::testing::Numbers;

constexpr std::uint64_t kBackendSeeds = 6;
const ModelShape kModel{.layers = 2,
                        .heads = 4,
                        .kv_heads = 2,
                        .head_dim = 16,
                        .hidden = 64,
                        .intermediate = 96,
                        .vocabulary = 100,
                        .windows = {0},
                        .step_rows_max = 32,
                        .output_rows_max = 32};

std::string faults_of(EmulatedDevice& device) {
  std::string text;
  for (const DeviceFault& fault : device.take_faults()) text += std::string(name_of(fault.kind)) + ": " + fault.what + "\n";
  return text;
}

TEST(CudaBackend, RefusesByNameWhatItsKernelsLack) {
  EmulatedDevice device({});
  const Result<std::unique_ptr<Backend>> in_bytes = create_cuda_backend(device, {.weights = WeightStorage::int8});
  ASSERT_FALSE(in_bytes);
  EXPECT_EQ(in_bytes.error().code, "E_WEIGHTS");
  const Result<std::unique_ptr<Backend>> in_four_bits = create_cuda_backend(device, {.weights = WeightStorage::int4});
  ASSERT_FALSE(in_four_bits);
  EXPECT_EQ(in_four_bits.error().message, "--weights: the cuda backend keeps bf16 only; choose the cpu backend for int4");

  EmulatedBackend backend({});
  EXPECT_TRUE(backend.prepare_model(kModel));
  const auto message_of = [&](const ModelShape& shape) {
    const Status refused = backend.prepare_model(shape);
    EXPECT_FALSE(refused);
    if (refused) return std::string();
    EXPECT_EQ(refused.error().code, "E_UNSUPPORTED_MODEL");
    return refused.error().message;
  };
  ModelShape shape = kModel;
  shape.head_dim = 258;
  EXPECT_EQ(message_of(shape), "model: head_dim: the cuda backend expects an even number up to 256, found 258");
  shape.head_dim = 15;
  EXPECT_EQ(message_of(shape), "model: head_dim: the cuda backend expects an even number up to 256, found 15");
  shape = kModel;
  shape.heads = 34;
  EXPECT_EQ(message_of(shape), "model: num_attention_heads / num_key_value_heads: the cuda backend expects at most 16, found 17");
  shape = kModel;
  shape.hidden = 4100;
  EXPECT_EQ(message_of(shape), "model: hidden_size: the cuda backend expects at most 4096, found 4100");
  shape = kModel;
  shape.windows = {0, 1, 2, 3, 4};
  EXPECT_EQ(message_of(shape), "model: sliding windows of different sizes: the cuda backend expects at most 4, found 5");
  shape = kModel;
  shape.further_ops_of = "gemma2";
  EXPECT_EQ(message_of(shape), "model: \"model_type\": the cuda backend does not serve gemma2; the cpu backend does");
  shape = kModel;
  shape.step_rows_max = 65537;
  EXPECT_EQ(message_of(shape), "model: tokens of a step: the cuda backend expects at most 65536, found 65537");
}

TEST(CudaBackend, TellsEveryErrorOfTheDeviceWhenItIsMade) {
  std::int32_t refused = 0;
  for (std::int64_t number = 0;; ++number) {
    EmulatedDevice device({});
    device.fail_call(number);
    {
      const Result<std::unique_ptr<Backend>> backend = create_cuda_backend(device, {});
      if (backend) break;
      EXPECT_EQ(backend.error().code, "E_DEVICE");
      EXPECT_NE(backend.error().message.find("failed as a test asked for"), std::string::npos) << backend.error().message;
      ++refused;
    }
    EXPECT_EQ(device.live_count(), 0);
  }
  EXPECT_GT(refused, 40);
}

TEST(CudaBackend, GivesBackWhatItTook) {
  EmulatedDevice device({});
  {
    const std::unique_ptr<Backend> backend = create_cuda_backend(device, {}).value();
    EXPECT_EQ(backend->name(), "cuda");
    EXPECT_TRUE(backend->prepare_model(kModel));
    const Buffer memory = backend->allocate(100);
    const std::vector<float> numbers = slora::testing::values_of({*backend, memory.view(DType::f32, 1, 25)});
    EXPECT_EQ(numbers, std::vector<float>(25, 0.0f));
  }
  EXPECT_EQ(faults_of(device), "");
  EXPECT_EQ(device.live_count(), 0);
}

TEST(CudaBackend, TellsTheMemoryOfItsDevice) {
  constexpr std::size_t kTotal = std::size_t{256} << 20, kTaken = std::size_t{64} << 20;
  EmulatedBackend backend({.memory_bytes = kTotal});
  const DeviceMemory before = backend.memory().value();
  EXPECT_EQ(before.total, kTotal);
  const Buffer memory = backend.allocate(kTaken);
  EXPECT_EQ(backend.memory().value().free, before.free - kTaken);
  EXPECT_EQ(backend.step_tokens_default(), 2048);
}

// Blocks of a product share its tiles here, one after another in the same scratch; above 16 rows the tiles are others.
TEST(CudaBackend, ARowOfADeepProductIsTheSameInBatchesOfEverySize) {
  constexpr std::int64_t kRows = 40, kOut = 72, kIn = 1100;
  EmulatedBackend backend({});
  Numbers numbers(7);
  LinearWeight weight = slora::testing::pack(backend, kOut, kIn, numbers.vector(kOut * kIn), DType::bf16);
  weight.bias = backend.make_vector(numbers.vector(kOut));
  const Matrix x(backend, DType::bf16, kRows, kIn, numbers.vector(kRows * kIn));
  const Matrix whole(backend, DType::f32, kRows, kOut);
  backend.ops().linear(whole, x, weight, {}, {}, {0, SiteKind::o});
  for (const std::int64_t rows : {1, 3, 16, 17}) {
    const Matrix part(backend, DType::f32, rows, kOut);
    backend.ops().linear(part, x.tensor().rows_from(2, rows), weight, {}, {}, {0, SiteKind::o});
    EXPECT_TRUE(slora::testing::same_bits(part, whole.tensor().rows_from(2, rows))) << rows << " rows";
  }
  EXPECT_EQ(faults_of(backend.device()), "");
}

// Steps of one product under adapters, two under way, each with other adapters on its rows. What varies is in a slot's bytes.
class AdapterSteps {
 public:
  static constexpr std::int32_t kRows = 8, kOut = 72, kIn = 40, kZCols = 80;
  static constexpr Site kSite{1, SiteKind::o};

  AdapterSteps(EmulatedBackend& backend, std::uint64_t seed)
      : backend_(backend),
        numbers_(seed),
        random_(seed),
        weight_(slora::testing::pack(backend, kOut, kIn, numbers_.vector(kOut * kIn), DType::bf16)),
        x_(backend, DType::bf16, kRows, kIn, numbers_.vector(kRows * kIn)) {
    weight_.bias = backend.make_vector(numbers_.vector(kOut));
    for (const std::int32_t rank : {1, 5, 16, 40}) {
      std::vector<MadeRecord> records = {slora::testing::make_record(numbers_, 0, 40, kIn, rank)};
      if (rank != 16) records.push_back(slora::testing::make_record(numbers_, 40, 32, kIn, rank));
      records.front().bias = numbers_.vector(40);
      adapters_.emplace_back(backend, kSite, records, slora::testing::Cuts{.tile_rows = 7});
    }
    const std::vector<MadeRecord> elsewhere = {slora::testing::make_record(numbers_, 0, 40, kIn, 4)};
    elsewhere_ = std::make_unique<MadeAdapter>(backend, Site{1, SiteKind::down}, elsewhere, slora::testing::Cuts{.tile_rows = 7});
    for (Slot& slot : slots_) {
      slot.bytes = backend.host_memory(kBytes);
      slot.y = backend.allocate(kRows * kOut * sizeof(Bfloat16));
      slot.z = backend.allocate(kRows * kZCols * sizeof(float));
      slot.results = backend.host_memory(slot.y.bytes());
    }
  }

  void submit(std::int32_t step, bool replays) {
    Slot& slot = slots_[static_cast<std::size_t>(step % 2)];
    draw_segments(slot);
    const AdapterBatch batch = upload(slot, step % 2);
    const std::uint32_t work = backend_.prepare_step(step % 2, {{}, {&batch, 1}});
    const auto call_ops = [&] {
      ++called_count_;
      run_ops(slot.y.view(DType::bf16, kRows, kOut), slot.z.view(DType::f32, kRows, kZCols), batch);
    };
    if (replays) {
      backend_.replay_step({.slot = step % 2, .rows = kRows, .segments = kRows, .work = work}, call_ops);
    } else {
      call_ops();
    }
    slot.fence = backend_.download_step({slot.results.data(), slot.results.bytes()}, slot.y.data());
  }
  void collect(std::int32_t step) {
    const Slot& slot = slots_[static_cast<std::size_t>(step % 2)];
    while (!backend_.wait(slot.fence, std::chrono::milliseconds(20))) continue;
    results_.emplace_back(slot.segments, std::vector<std::byte>(slot.results.data(), slot.results.data() + slot.results.bytes()));
  }
  // That results are those of the same ops called alone, which waits for the device.
  void expect_results() {
    for (const auto& [segments, found] : results_) EXPECT_EQ(bytes_of(MadeSegments(backend_, segments, kZCols)), found);
  }
  [[nodiscard]] std::int32_t called_count() const { return called_count_; }

  // Of two batches that are in no step, without a wait between them.
  void expect_ops_of_their_own_lists() {
    for (Slot& slot : slots_) draw_segments(slot);
    const MadeSegments first(backend_, slots_[0].segments, kZCols), second(backend_, slots_[1].segments, kZCols);
    const Matrix first_z(backend_, DType::f32, kRows, kZCols), second_z(backend_, DType::f32, kRows, kZCols);
    const Matrix first_y(backend_, DType::bf16, kRows, kOut), second_y(backend_, DType::bf16, kRows, kOut);
    run_ops(first_y, first_z, first);
    run_ops(second_y, second_z, second);
    EXPECT_EQ(first_y.tensor().bytes(), bytes_of(first));
    EXPECT_EQ(second_y.tensor().bytes(), bytes_of(second));
  }

 private:
  struct Slot {
    Buffer bytes, y, z, results;
    std::vector<AdapterSegment> segments;  // padded to kRows
    AdapterRuns runs;
    Fence fence;
  };
  static constexpr std::size_t kRunsBegin = kRows * sizeof(AdapterSegment);
  static constexpr std::size_t kRunSegmentsBegin = kRunsBegin + kRows * sizeof(AdapterRun);
  static constexpr std::size_t kBytes = kRunSegmentsBegin + kRows * sizeof(std::int32_t);

  // Of adapters of kSite or, in every third step, of one that leaves it alone.
  void draw_segments(Slot& slot) {
    slot.segments.clear();
    const bool is_elsewhere = drawn_count_++ % 3 == 0;
    for (std::int32_t row = static_cast<std::int32_t>(random_() % 2); row < kRows;) {
      const std::int32_t count = std::min<std::int32_t>(1 + static_cast<std::int32_t>(random_() % 3), kRows - row);
      const MadeAdapter& adapter = is_elsewhere ? *elsewhere_ : adapters_[random_() % adapters_.size()];
      slot.segments.push_back({row, count, 0, 0.5f, &adapter.view()});
      row += count + static_cast<std::int32_t>(random_() % 2);
    }
    slot.runs.cut(slot.segments);
    slot.runs.pad(kRows);
    slot.segments.resize(kRows, {kRows, 0, 0, 1, slot.segments.front().adapter});
  }
  AdapterBatch upload(Slot& slot, int index) {
    std::memcpy(slot.bytes.data(), slot.segments.data(), kRows * sizeof(AdapterSegment));
    std::memcpy(slot.bytes.data() + kRunsBegin, slot.runs.runs().data(), kRows * sizeof(AdapterRun));
    std::memcpy(slot.bytes.data() + kRunSegmentsBegin, slot.runs.segments().data(), kRows * sizeof(std::int32_t));
    const std::byte* const at = backend_.upload_step(index, {slot.bytes.data(), kBytes});
    return {.segments = {slot.segments, reinterpret_cast<const AdapterSegment*>(at)},
            .z_cols = kZCols,
            .runs = {slot.runs.runs(), reinterpret_cast<const AdapterRun*>(at + kRunsBegin)},
            .run_segments = {slot.runs.segments(), reinterpret_cast<const std::int32_t*>(at + kRunSegmentsBegin)}};
  }
  // What the ops give alone.
  [[nodiscard]] std::vector<std::byte> bytes_of(const MadeSegments& segments) {
    const Matrix z(backend_, DType::f32, kRows, kZCols), y(backend_, DType::bf16, kRows, kOut);
    run_ops(y, z, segments);
    return y.tensor().bytes();
  }
  void run_ops(Tensor y, Tensor z, const AdapterBatch& batch) {
    backend_.ops().shrink(z, x_, batch, kSite);
    backend_.ops().linear(y, x_, weight_, z, batch, kSite);
  }

  EmulatedBackend& backend_;
  Numbers numbers_;
  std::mt19937_64 random_;
  LinearWeight weight_;
  Matrix x_;
  std::deque<MadeAdapter> adapters_;
  std::unique_ptr<MadeAdapter> elsewhere_;
  std::int32_t drawn_count_ = 0;
  std::array<Slot, 2> slots_;
  std::vector<std::pair<std::vector<AdapterSegment>, std::vector<std::byte>>> results_;
  std::int32_t called_count_ = 0;
};

TEST(CudaBackend, StepsGiveTheBitsOfTheirOpsWhetherTheyAreCalledOrReplayed) {
  for (std::uint64_t seed = 1; seed <= kBackendSeeds; ++seed) {
    const bool replays = seed % 3 != 0;
    EmulatedBackend backend({.seed = seed, .pace = seed % 2 == 0 ? EmulatedDevice::Pace::late : EmulatedDevice::Pace::anywhere});
    AdapterSteps steps(backend, seed);
    constexpr std::int32_t kSteps = 16;
    for (std::int32_t step = 0; step < kSteps; ++step) {
      steps.submit(step, replays);
      if (step > 0) steps.collect(step - 1);
    }
    steps.collect(kSteps - 1);
    EXPECT_EQ(steps.called_count(), replays ? 8 : kSteps) << "slots, with and without work at the site";
    steps.expect_results();
    EXPECT_EQ(faults_of(backend.device()), "") << "seed " << seed;
  }
}

// How many launches such a step has depends on more than its key.
TEST(CudaBackend, StepsWithRowsThatAreScaledAreNeverReplayed) {
  constexpr std::int32_t kRows = 2, kSteps = 4;
  EmulatedBackend backend({});
  Numbers numbers(9);
  const Buffer gain = slora::testing::uploaded(backend, numbers.vector(16).data(), 16 * sizeof(float));
  for (const bool scales : {false, true}) {
    AdapterView view;
    view.sites.resize(site_count(1));
    view.sites[index_of({0, SiteKind::down})] = {0, 1, 0};
    RecordView& record = view.records.emplace_back();
    record.out = record.in = 16;
    (scales ? record.input_gain : record.gain) = reinterpret_cast<const float*>(gain.data());
    const std::vector<AdapterSegment> segments = {{0, kRows, 0, 1, &view}};
    const MadeSegments made(backend, segments, 0);
    const AdapterBatch batch = made;
    std::int32_t called = 0;
    for (std::int32_t step = 0; step < kSteps; ++step) {
      static_cast<void>(backend.upload_step(0, {}));
      const std::uint32_t work = backend.prepare_step(0, {{}, {&batch, 1}});
      backend.replay_step({.rows = kRows, .segments = 1, .work = work}, [&] { ++called; });
      EXPECT_TRUE(backend.wait(backend.mark(), std::chrono::seconds(10)));
    }
    EXPECT_EQ(called, scales ? kSteps : 2);
  }
}

TEST(CudaBackend, OpsThatAreInNoStepHaveTheirOwnLists) {
  for (std::uint64_t seed = 1; seed <= kBackendSeeds; ++seed) {
    EmulatedBackend backend({.seed = seed});
    AdapterSteps(backend, seed).expect_ops_of_their_own_lists();
  }
}

// Alone it is an item for each range of its keys, in a prompt a row of a tile that has all of them.
TEST(CudaBackend, AQueryOverManyKeysHasTheSameBitsAloneAndInAPrompt) {
  constexpr std::int32_t kTokens = 1100, kQueries = 20, kFirst = kTokens - kQueries, kHeads = 2, kDim = 16;
  EmulatedBackend backend({});
  Numbers numbers(3);
  const Matrix k(backend, DType::bf16, kTokens, kDim, numbers.vector(kTokens * kDim));
  const Matrix v(backend, DType::bf16, kTokens, kDim, numbers.vector(kTokens * kDim));
  const Matrix q(backend, DType::bf16, kQueries, kHeads * kDim, numbers.vector(kQueries * kHeads * kDim));
  slora::testing::MadePool pool(backend, 16, 1, kDim, kTokens);
  backend.ops().store_kv(pool.layer(), k, v, pool.batch(0, kTokens, 0));
  for (const std::int32_t window : {0, 700}) {
    const Matrix together(backend, DType::bf16, kQueries, kHeads * kDim), alone(backend, DType::bf16, kQueries, kHeads * kDim);
    backend.ops().attend(together, q, pool.layer(), pool.batch(0, kQueries, kFirst), {0.25f, window});
    for (std::int32_t row = 0; row < kQueries; ++row) {
      backend.ops().attend(alone.tensor().rows_from(row, 1), q.tensor().rows_from(row, 1), pool.layer(), pool.batch(0, 1, kFirst + row),
                           {0.25f, window});
    }
    EXPECT_TRUE(slora::testing::same_bits(alone, together)) << "window " << window;
  }
}

TEST(CudaBackend, CallsNothingInAStepThatWaitsForTheDevice) {
  EmulatedBackend backend({});
  AdapterSteps steps(backend, 5);
  for (std::int32_t step = 0; step < 12; ++step) {
    backend.device().begin_step();
    steps.submit(step, step % 3 != 0);
    backend.device().end_step();
    steps.collect(step);
  }
  EXPECT_TRUE(backend.device().waiting_calls_in_steps().empty()) << backend.device().waiting_calls_in_steps().begin()->first;
}

TEST(CudaBackend, TellsAnErrorOfTheDeviceInAStep) {
  EmulatedBackend backend({});
  AdapterSteps steps(backend, 5);
  steps.submit(0, true);
  steps.collect(0);
  backend.device().fail_call(3);
  EXPECT_THROW(
      {
        steps.submit(1, true);
        steps.collect(1);
      },
      DeviceError);
}

}  // namespace
}  // namespace slora::cuda
