#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/adapter_store.h"
#include "base/clock.h"
#include "base/result.h"
#include "engine/adapter_use.h"
#include "scheduler/scheduler.h"

namespace slora {

// The names whose adapters are kept in the pool. A pin follows its name: when the name gets another content, that is pinned instead; when
// it is removed, the pin ends. A content that cannot be loaded is tried again. Owned by the engine's loop, used on its thread.
class AdapterPins {
 public:
  AdapterPins(AdapterStore& store, AdapterUse& use, const std::vector<std::string>& names);

  // Pins what the name means now. Errors are those of AdapterStore::find_version() and Scheduler::pin_adapter(); then nothing has changed.
  [[nodiscard]] Status pin(std::string_view name, Scheduler& scheduler);
  // "not_pinned" when it is not.
  [[nodiscard]] Status unpin(std::string_view name, Scheduler& scheduler);

  // Contents were retired: follow() has to look at names now.
  void note_retired() { has_retired_ = true; }
  // The load has failed, and with it ended the scheduler's pin.
  void note_failed(AdapterId adapter, Scheduler& scheduler);
  // Pins the present contents of names that have another or none. Does nothing most of the time.
  void follow(Scheduler& scheduler, Timestamp now);
  // A new scheduler and an empty use of adapters know of no pins.
  void begin_anew();

 private:
  struct Pin {
    std::string name;
    std::shared_ptr<const AdapterVersion> version;  // null: there is none now
  };

  [[nodiscard]] Status try_pin(Pin& pin, Scheduler& scheduler);
  void drop(Pin& pin, Scheduler& scheduler);
  // False when its name is gone.
  [[nodiscard]] bool follow(Pin& pin, Scheduler& scheduler);

  AdapterStore& store_;
  AdapterUse& use_;
  std::vector<Pin> pins_;
  bool has_retired_ = false;
  Timestamp looked_at_{};
};

}  // namespace slora
