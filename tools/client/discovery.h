// Discovery: the list of nodes comes from the nodes themselves, as with ElastiCache
// (docs/discovery.md). Any of them is asked, now and then, and a list is followed if its version is
// larger than that of the one before.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "tools/client/cancellation.h"
#include "tools/client/client_options.h"
#include "tools/client/cluster_list.h"
#include "tools/client/deadline.h"
#include "tools/client/result.h"

namespace larder::client {

// Asks one after the other until one tells a list, in their order. If none does: what the last one
// said instead. Never empty.
//
// deadline      of all of them together. Each has an equal share of the time that is left, and at
//               least 100 ms, so that one that is silent leaves time for the next; Timeout if some
//               could not be asked
// cancellation  ends what is under way, with BadRequest
//
// Each takes the connect timeout and the request timeout of the options at most. Any thread.
Result<std::optional<ClusterList>> ask_for_list(const std::vector<Endpoint>& whom,
                                                const ClientOptions& options, Deadline deadline,
                                                const Cancellation& cancellation);

struct NewerList {
  std::optional<ClusterList> list;  // empty: the one that is followed
  uint64_t largest_version = 0;     // of all that were told
  size_t tellers = 0;               // how many servers told a list
};

// Likewise, until it is clear which list is to be followed next (list_election.h); where nobody
// tells one with a larger version, the first that tells the version that is followed ends it.
// Timeout if the deadline comes before that is clear.
Result<NewerList> ask_for_newer_list(const std::vector<Endpoint>& whom, const ClusterList& followed,
                                     const ClientOptions& options, Deadline deadline,
                                     const Cancellation& cancellation);

// As servers of a ring, each with weight 1: the ring hashes the name of a node. It is connected to
// by its address where the list has one, unless TLS is to check the name.
std::vector<Server> servers_of(const ClusterList& list, const TlsSettings& tls);

// Calls `tick` every `interval` in a thread of its own, less up to a tenth by chance, until it is
// destroyed, which cancels a call that is under way and waits for its end. In a child of fork() it
// has no thread: it calls nothing, and its destructor waits for nothing.
class Poller {
 public:
  using Tick = std::function<void(const Cancellation& cancellation)>;

  // stopping  what the destructor cancels; lives longer than this
  //
  // std::system_error if no thread can be had.
  Poller(std::chrono::milliseconds interval, Tick tick, Cancellation& stopping);
  ~Poller();
  // Has the next call come at once, or a second after the last. Any thread.
  void wake();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

 private:
  void run();

  const std::chrono::milliseconds interval_;
  const Tick tick_;
  const uint32_t started_in_;  // process_generation()
  std::mutex mutex_;
  bool woken_ = false;  // guarded by mutex_
  std::condition_variable wake_;
  Cancellation& stopping_;  // cancelled with mutex_
  std::thread thread_;
};

}  // namespace larder::client
