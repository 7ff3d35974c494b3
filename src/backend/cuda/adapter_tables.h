#pragma once
#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include "backend/cuda/device_api.h"
#include "backend/op_args.h"
#include "kernels/cuda/lora_args.h"
#include "tensor/buffer.h"

namespace slora::cuda {

// One adapter's records as kernels read them, of every site.
struct AdapterTable {
  // The records at the sites of one kind.
  struct Kind {
    LoraTable table{};                       // per_layer 0: the adapter leaves these sites alone
    bool expands = false;                    // some layer has B, a bias or a gain
    bool scales = false;                     // some record scales rows of x for products of their own
    std::vector<std::int32_t> shrink_ranks;  // [per_layer] the largest rank of all layers; 0: no A
    struct Scaled {
      bool has_input_gain = false;     // in some layer
      std::int32_t hadamard_rank = 0;  // the largest of all layers
    };
    std::vector<Scaled> scaled;  // [per_layer]
  };
  std::vector<Kind> kinds;  // [kSiteKindCount], by index_of() in layer 0
};

// What a table holds.
struct TableCounts {
  std::size_t records = 0, gains = 0, pieces = 0;
  [[nodiscard]] std::size_t bytes() const {
    return records * sizeof(LoraRecord) + gains * sizeof(LoraGains) + pieces * sizeof(MatrixPiece);
  }
};

// Makes the tables of adapters, when a step first uses them, and keeps them in memory of the device. That is a ring: a new table is written
// behind the one before, over the tables that have been there the longest, except those of steps under way. So a table may be made more
// than once. Only steps that use the adapter read its table, so its pages may be given away once none of them is under way. Owned by a
// backend, used by the engine thread.
class AdapterTables {
 public:
  // The device outlives it.
  explicit AdapterTables(DeviceApi& device) : device_(device) {}

  // Memory for all tables. It grows when it must, and then waits for the device. Requires: bytes > 0.
  [[nodiscard]] Status reserve(std::size_t bytes);
  // Of an adapter of all linear modules, whose matrices are in two pieces each.
  [[nodiscard]] static std::size_t usual_bytes(std::int64_t layers);

  // Step `number` is prepared from here on; those before `done_before` are done. Numbers ascend from 1.
  void begin_step(std::uint64_t number, std::uint64_t done_before);
  // Valid until the next call for another adapter.
  [[nodiscard]] const AdapterTable& find_or_make(const AdapterView& adapter);
  // What is to be copied to the device before the ops that use these tables.
  [[nodiscard]] std::span<const PieceCopy> copies() const { return copies_; }
  void clear_copies() { copies_.clear(); }

 private:
  struct Entry {
    std::size_t begin = 0, end = 0;  // bytes of the memory
    std::uint64_t number = 0;        // as in AdapterView::kept; 0: spare
    std::uint64_t last_step = 0;     // that used it
    std::uint32_t index = 0;         // in all_
    AdapterTable table;
  };
  using Entries = std::list<Entry>;
  struct Memory {
    Buffer at_host;  // page-locked
    Buffer at_device;
  };

  [[nodiscard]] std::size_t memory_bytes() const { return memories_.empty() ? 0 : memories_.back().at_device.bytes(); }
  [[nodiscard]] TableCounts count(const AdapterView& adapter);
  [[nodiscard]] Entry& add_entry(std::size_t bytes);
  // Moves on to a gap of so many bytes before next_; returns whether there is one.
  [[nodiscard]] bool try_find_gap(std::size_t bytes);
  void write(Entry& entry, const AdapterView& adapter, const TableCounts& counts);

  DeviceApi& device_;
  std::vector<Memory> memories_;  // the last is in use; steps may read those before
  Entries entries_;               // of that, by `begin`
  Entries spare_;
  std::vector<Entry*> all_;
  Entries::iterator next_ = entries_.end();  // the first behind gap_begin_
  std::size_t gap_begin_ = 0;                // no table lies from here to next_
  std::uint64_t made_count_ = 0;
  std::uint64_t step_ = 0, done_before_ = 0;
  std::vector<PieceCopy> copies_;
  std::vector<std::int32_t> per_layer_;  // [kinds] of the adapter whose table is made
};

}  // namespace slora::cuda
