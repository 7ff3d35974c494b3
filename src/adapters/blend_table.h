#pragma once
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "adapters/adapter_version.h"
#include "base/ids.h"

namespace slora {

// The blends that requests named lately, each of which has one identity for as long as it is here: requests for the same components and
// weights share its image and its cached prefixes. At most `blends_max` that nobody uses: of those whose image is not in the pool and that
// no request holds, the one that was named longest ago is forgotten first, so that whoever names many displaces none that is in use. Those
// in use are bounded by the pool and the requests. Used under its owner's lock.
class BlendTable {
 public:
  explicit BlendTable(std::size_t blends_max) : blends_max_(blends_max) {}

  // The blend of these components, whatever their order; made with the id that `next_id` gives when it is not here. Requires: components of
  // different names.
  [[nodiscard]] std::shared_ptr<const AdapterVersion> find_or_make(std::vector<BlendComponent> components,
                                                                   const std::function<AdapterId()>& next_id);
  // The component's content is no longer what its name means: forgets its blends and appends them to `retired`.
  void forget(const AdapterVersion& component, std::vector<std::shared_ptr<const AdapterVersion>>& retired);

  [[nodiscard]] std::size_t size() const { return blends_.size(); }

 private:
  void forget_unused();

  const std::size_t blends_max_;
  std::list<std::shared_ptr<const AdapterVersion>> blends_;  // the one named last comes first
};

}  // namespace slora
