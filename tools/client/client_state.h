// What a Client is made of: for the sources that implement it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "tools/client/client.h"
#include "tools/client/client_watch.h"
#include "tools/client/discovery.h"
#include "tools/client/fleet.h"
#include "tools/client/process.h"

namespace larder::client {

struct ClientState {
  explicit ClientState(ClientOptions client_options)
      : watch(std::make_shared<ClientWatch>(client_options.observer)),
        options(watched(bounded(std::move(client_options)), watch)) {}
  ~ClientState() { watch->set_poller(nullptr); }

  // With values that all sums of times and numbers have room for.
  static ClientOptions bounded(ClientOptions options);
  static ClientOptions watched(ClientOptions options, std::shared_ptr<ClientObserver> by) {
    options.observer = std::move(by);
    return options;
  }

  std::shared_ptr<Fleet> fleet() const {
    const std::lock_guard lock(mutex);
    return current;
  }
  Deadline deadline() const { return std::chrono::steady_clock::now() + options.request_timeout; }

  // Each operation to the node of its key.
  void run(std::span<const Operation> operations, std::span<Answer> answers);
  Answer run_one(const Operation& operation);
  std::vector<Result<Outcome>> outcomes_of(std::span<const Operation> operations);
  // The same operation to every node of the fleet.
  std::vector<Answer> run_everywhere(const Fleet& on, const Operation& operation);
  // Asks for the list and follows it if it is newer than the one before. Timeout also if another
  // thread still asks at the deadline.
  Result<bool> refresh(Deadline until, const Cancellation& cancellation);
  // What a turn comes to; the observer is called after it.
  struct Refreshed {
    Result<bool> followed;
    std::optional<Error> warning = {};  // though it has not failed
    uint64_t version = 0;               // of the list that was followed, and its nodes
    size_t nodes = 0;
  };
  Refreshed ask_and_follow(Deadline until, const Cancellation& cancellation);  // in a Turn
  // Follows the list, or has changed nothing: with an error, or std::bad_alloc. In a Turn.
  Refreshed follow(ClusterList newer);
  // If all lists that were told are behind the one that is followed: so, once for each version.
  std::optional<Error> warning_of(const NewerList& told);  // in a Turn

  const std::shared_ptr<ClientWatch> watch;
  const ClientOptions options;
  mutable std::mutex mutex;
  std::shared_ptr<Fleet> current;  // guarded by mutex; never null once made

  // One thread at a time asks for a list and follows it. Not a mutex, for which nobody can wait
  // until a deadline (std::timed_mutex can, but the thread sanitizer of GCC 12 does not know it).
  std::mutex refresh_mutex;
  std::condition_variable refreshed;
  bool refreshing = false;  // guarded by refresh_mutex
  // These are used while `refreshing`, by its thread.
  ClusterList list;                        // that is followed
  std::optional<uint64_t> warned_version;  // of lists that are behind it
  // With discovery: ends what refresh() waits for, also where an observer called it. A child of
  // fork() has a copy that its parent cancels, so it uses others.
  std::optional<Cancellation> going_away;
  const uint32_t made_in = process_generation();
  std::optional<Poller> poller;  // the last member: it ends before the rest goes
};

}  // namespace larder::client
