// Client: a fleet of memcached-compatible servers as one cache.
//
//   ClientOptions options;
//   options.servers = {{"10.0.0.1"}, {"10.0.0.2"}};
//   Result<std::unique_ptr<Client>> made = Client::make(options);
//   if (!made) return fail(made.error().text);
//   Client& cache = **made;
//   cache.set("user:42", "Ada", {.exptime = 300});
//   Result<std::optional<Item>> user = cache.get("user:42");
//   if (user && *user) greet((*user)->value);
//
// Any thread, any number at once; calls block, at most for `request_timeout`. Errors are values,
// and a miss is none. What went wrong on one node concerns that node's keys alone: a key never
// moves to another node because its own is away. (It would come back to a node with an old value,
// and other clients, who see failures at other moments, would look for it elsewhere.) While a node
// is ejected its keys fail at once with Ejected, and a program does what it would do on a miss.
//
// A child of fork() may use a client that was made before, also while the parent uses it: the child
// opens connections of its own. At the moment of the fork no other thread may be in a call of the
// client, and its thread of discovery (DiscoveryOptions::interval) may not be asking for the list:
// otherwise the child must call exec() or _exit(). In the child that thread does not exist, so only
// refresh() follows the list. A child of vfork(), _Fork() or clone() must not use the client.
//
// No value is read that is older than a write of this client that has returned, as long as this
// client lives; README.md says what that costs and where it ends.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/client/client_options.h"
#include "tools/client/computed.h"
#include "tools/client/operation.h"
#include "tools/client/result.h"

namespace larder::client {

struct ClientState;

struct Item {
  std::string value;
  uint32_t client_flags = 0;
  uint64_t cas = 0;  // for cas(); never 0
};

struct StoreOptions {
  uint32_t client_flags = 0;
  int32_t exptime = 0;  // as Operation::exptime
};

// Of set_many(). Views are the caller's, until it returns.
struct Entry {
  std::string_view key;
  std::string_view value;
  StoreOptions options = {};
};

// What one node said to a question to all of them.
template <typename T>
struct OfNode {
  std::string node;  // "host:port" or the path of its socket
  Result<T> result;
};

struct ClientCounters {
  uint64_t node_failures = 0;  // calls that failed on account of a node
  uint64_t ejections = 0;
  uint64_t returns = 0;         // of ejected nodes
  uint64_t lists_followed = 0;  // with discovery; the first included
  uint64_t list_failures = 0;   // in a row: how often nobody has told a list since one did
};

// Keys are as in Operation. Errors, of every call: BadRequest, and nothing was sent; Ejected,
// Unreachable, Denied, and this was not done; Timeout, Closed, Protocol, and whether a write was
// done is not known (it is deleted before it could be read); Refused, with the server's words.
class Client {
 public:
  // Connects to nobody, but for discovery: then one of the servers must tell a list within
  // `request_timeout`, which is the bound for all of them together.
  //
  // BadRequest where options contradict each other or the ring has no use for the servers; with
  // discovery also what kept the servers from telling, and Unreachable, with `is_local`, where no
  // thread can be had.
  static Result<std::unique_ptr<Client>> make(ClientOptions options);
  // Ends what the thread of discovery is waiting for. While no other thread uses the client.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // -- One key. Empty: a miss.
  Result<std::optional<Item>> get(std::string_view key);
  Result<std::optional<Item>> get_and_touch(std::string_view key, int32_t exptime);

  // Done, or NotStored where there is an item (add), or none (replace, append, prepend).
  Result<Outcome> set(std::string_view key, std::string_view value, StoreOptions options = {});
  Result<Outcome> add(std::string_view key, std::string_view value, StoreOptions options = {});
  Result<Outcome> replace(std::string_view key, std::string_view value, StoreOptions options = {});
  Result<Outcome> append(std::string_view key, std::string_view value);
  Result<Outcome> prepend(std::string_view key, std::string_view value);
  // version  Item::cas. Done; Exists: somebody has stored since; Missing.
  Result<Outcome> cas(std::string_view key, std::string_view value, uint64_t version,
                      StoreOptions options = {});
  // Done or Missing.
  Result<Outcome> remove(std::string_view key);
  Result<Outcome> touch(std::string_view key, int32_t exptime);
  // The number afterwards; empty: there is no such item. A decrement ends at 0, an increment begins
  // anew after 2^64 - 1. Refused if the value is not a number.
  Result<std::optional<uint64_t>> increment(std::string_view key, uint64_t delta = 1);
  Result<std::optional<uint64_t>> decrement(std::string_view key, uint64_t delta = 1);

  // -- Many keys: every node gets its share in one go, all of them at the same time. As many
  // results as keys, in their order; each key fails or succeeds for itself.
  std::vector<Result<std::optional<Item>>> get_many(std::span<const std::string_view> keys);
  std::vector<Result<Outcome>> set_many(std::span<const Entry> entries);
  std::vector<Result<Outcome>> remove_many(std::span<const std::string_view> keys);

  // -- All nodes, in the order of the list.
  std::vector<OfNode<void>> flush_all(int32_t delay_seconds = 0);
  std::vector<OfNode<std::string>> version();

  // The value of the key, or what `compute` makes of it: by one of all who ask, on all machines.
  // See computed.h. Dialect Meta only (BadRequest).
  Result<Computed> get_or_compute(std::string_view key, int32_t exptime, const Compute& compute,
                                  const ComputeOptions& options = {});

  // What the protocol has beyond that: answers[i] is that of operations[i]. Version, FlushAll and
  // Noop have no key, and so no node: BadRequest. Where there are fewer answers than operations,
  // each has BadRequest and nothing is sent. Answers may be used again: values take the memory of
  // those before. So no view of an operation may lead into an answer of the same call: the call
  // would store the bytes that it has put there meanwhile. Debug builds end with an assert.
  // std::bad_alloc: an answer without an outcome is Failed and has no error, and what it was to
  // change may be done or not.
  void run(std::span<const Operation> operations, std::span<Answer> answers);

  // -- The list of servers.
  // "host:port" of each node, in order.
  std::vector<std::string> nodes() const;
  // Where a key lives.
  std::string node_of(std::string_view key) const;
  // Asks for the list now and follows it if it is newer: true if it was (list_election.h). With
  // discovery only (BadRequest); else what kept all nodes from telling, or Timeout. Where it throws
  // std::bad_alloc, the list from before stays, and the next call asks again. An observer may call
  // it.
  Result<bool> refresh();
  // Since it was made.
  ClientCounters counters() const;

 private:
  explicit Client(std::unique_ptr<ClientState> state);
  std::unique_ptr<ClientState> state_;
};

}  // namespace larder::client
