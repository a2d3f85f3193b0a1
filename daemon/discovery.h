// Discovery: what `config get cluster` answers: the list of nodes in force, with its version.
//
// The list comes from a source: a file (cluster_file.h) or `config set`. Whoever speaks last
// counts. Clients follow a list only if its version is larger than that of the one they have, so:
//
//  1. The version only grows, also over `config delete`, unless it is above kMostOrdinaryVersion:
//     then a client has set it so that none could follow, and `config delete` forgets it.
//  2. A change gets the version that its source gives it, if that is larger than the one before,
//  and
//     else one more than that.
//  3. The same nodes without a larger version are no change.
//
// Any thread. A list is immutable once it is published: readers take it under a lock that nobody
// holds for longer than it takes to copy a pointer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/mutex.h"
#include "daemon/cluster_list.h"

namespace larder::daemon {

class Discovery {
 public:
  struct Published {
    ClusterList list;
    uint32_t client_flags = 0;  // as given by `config set`
    std::string text;           // as clients are told it
  };

  // Null: there is none.
  std::shared_ptr<const Published> published() const;

  // From a source that may repeat itself. True: it is in force now, and was not before; `list` has
  // the version that it got.
  bool offer(ClusterList& list);

  // From an operator, who gives the version, too. False: it is not larger than the one in force, or
  // than the last one that was, which is now in `list`. The same list again is fine.
  bool set(ClusterList& list, uint32_t client_flags);

  // Counting and clocks do not lead above it.
  static constexpr uint64_t kMostOrdinaryVersion = kMaxClusterVersion / 2;

  // False: there was none.
  bool remove();

 private:
  void publish(const ClusterList& list, uint32_t client_flags) REQUIRES(mutex_);

  mutable core::Mutex mutex_;
  uint64_t version_ GUARDED_BY(mutex_) = 0;  // the largest that has been published
  std::shared_ptr<const Published> published_ GUARDED_BY(mutex_);
};

}  // namespace larder::daemon
