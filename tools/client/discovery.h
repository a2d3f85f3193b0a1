// Discovery: the list of nodes comes from the nodes themselves, as with ElastiCache
// (docs/discovery.md). Any of them is asked, now and then, and a list is followed if its version is
// larger than that of the one before.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "tools/client/client_options.h"
#include "tools/client/cluster_list.h"
#include "tools/client/result.h"

namespace larder::client {

// Asks one after the other until one tells a list, in their order. If none does: what the last one
// said instead. Never empty.
//
// stop  is looked at before each of them; BadRequest then
//
// Each may take the connect timeout and the request timeout of the options. Any thread.
Result<std::optional<ClusterList>> ask_for_list(const std::vector<Endpoint>& whom,
                                                const ClientOptions& options,
                                                const std::atomic<bool>& stop);

// Likewise, until it is clear which list is to be followed next (list_election.h); where nobody
// tells one with a larger version, the first that tells any ends it. Empty: the one that is
// followed.
Result<std::optional<ClusterList>> ask_for_newer_list(const std::vector<Endpoint>& whom,
                                                      const ClusterList& followed,
                                                      const ClientOptions& options,
                                                      const std::atomic<bool>& stop);

// As servers of a ring, each with weight 1: the ring hashes the name of a node. It is connected to
// by its address where the list has one, unless TLS is to check the name.
std::vector<Server> servers_of(const ClusterList& list, const TlsSettings& tls);

// Calls `tick` every `interval` in a thread of its own, less up to a tenth by chance, until it is
// destroyed, which waits for a call that is under way: `tick` gets a flag that says so.
class Poller {
 public:
  using Tick = std::function<void(const std::atomic<bool>& stop)>;

  Poller(std::chrono::milliseconds interval, Tick tick);
  ~Poller();
  // Has the next call come at once, or a second after the last. Any thread.
  void wake();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

 private:
  void run();

  const std::chrono::milliseconds interval_;
  const Tick tick_;
  std::mutex mutex_;
  bool woken_ = false;  // guarded by mutex_
  std::condition_variable wake_;
  std::atomic<bool> stopping_ = false;  // set with mutex_; read without: a hint to hurry
  std::thread thread_;
};

}  // namespace larder::client
