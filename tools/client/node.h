// Node: one server as a client uses it: its connections, its health, and what has to be deleted
// there before anything is read from it.
//
// The rule of rejoining, in numbered sentences:
// 1. Who hears that a write failed finds its key among those owed: it is added before the call
//    returns, also when the node was ejected and nothing was sent.
// 2. While anything is owed, no operation is sent but those that pay: whoever comes first deletes
//    the keys, or flushes the node, and the others wait for that.
// 3. A key is only deleted after each connection on which its write was given up has ended
//    (lingering.h), so that the write cannot come after its own delete.
// 4. Too many keys, an absence longer than the lease or from the list, a name that leads to another
//    address than before, and the node is flushed instead, after those connections, too. If a list
//    or DNS says that the name leads elsewhere, both addresses may be of one server: the node also
//    waits for connections to the former one, for kUnheardSeconds at most, so that a server that
//    hangs does not keep the one that replaces it from being used. If DNS leads the name back,
//    rule 3 holds for these again. A node that is flushed as it joins or returns waits likewise for
//    connections to other ports of its host that have left the list.
// 5. No flush is needed where the node says that it was emptied after the last moment from which
//    something old may be there: another client was first, or it has started without items. Of a
//    node that was not in the list meanwhile that holds if it drops its items itself before it is
//    in the list again (larderd with --cluster-etcd).
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tools/client/client_options.h"
#include "tools/client/lingering.h"
#include "tools/client/node_health.h"
#include "tools/client/operation.h"
#include "tools/client/owed_deletes.h"
#include "tools/client/pool.h"
#include "tools/client/transport.h"

namespace larder::client {

// Whether a failure counts against the node: once for a call, however often that tries.
enum class Try : uint8_t { First, Again };

// Any thread. Where std::bad_alloc passes, the node can be used afterwards.
class Node {
 public:
  // endpoint  where it is
  // options   of the client: all that is not about servers, rings and discovery; copied
  Node(const Endpoint& endpoint, const ClientOptions& options);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // A connection that may be used at once: the node is healthy, nothing is owed and a connection is
  // idle. Else null, and nothing has been done. Never waits for the network.
  std::unique_ptr<Connection> acquire_idle();

  // A connection on which anything may be asked, after a probe and the deletes where these are due.
  // Ejected without waiting; else what is in the way. In each case nothing that the caller wants to
  // ask was sent. Where the deadline has passed already, nothing is tried and nothing counted.
  Result<std::unique_ptr<Connection>> acquire(Deadline deadline, Try which = Try::First);

  // -- acquire() without waiting, for many nodes at once.

  // Begins to connect, where acquire() has nothing else to do but a handshake: the node is healthy,
  // nothing is owed, and no name has to be looked up. Else nothing, and nothing has been done.
  std::optional<Connecting> begin_connect();
  // What has come of that once it is ready for poll(), or is too late. Null: something is owed
  // by now, so acquire() is next. Waits until the deadline only where needs_handshake().
  Result<std::unique_ptr<Connection>> end_connect(Connecting connecting, Deadline deadline,
                                                  Try which);
  // TLS or a login comes after each connect.
  bool needs_handshake() const noexcept { return needs_handshake_; }
  // When to give up a connect that begins now.
  Deadline connect_by(Deadline deadline) const;

  // Takes a connection back on which these were asked. If it still waits for answers, they are too
  // late: they fail with Timeout. Owes the keys of writes that failed with an unknown outcome.
  void finish(std::unique_ptr<Connection> connection, std::span<const Operation> operations,
              std::span<Answer> answers, Try which = Try::First) noexcept;

  // What would have changed something, but was given up before it was sent, or is in doubt.
  void owe(const Operation& operation) noexcept;
  void owe_everything() noexcept;
  // The key has been written here after the node left the list: where its name leads now, the write
  // may have come after the flush, and nobody remembers it there.
  void owe_where_it_leads(std::string_view key) noexcept;

  // For discovery.h. The key has been written to a node that has it by now; its copy here is to go
  // before this node can be the key's again. Not owed before moved_are_owed().
  void remember_moved(std::string_view key) noexcept;
  // Likewise of keys that nobody remembers any more.
  void remember_everything_moved() noexcept;
  void moved_are_owed() noexcept;

  // For a fleet that goes on without it: keeps no connection, and forgets which keys it owes, since
  // all is owed. rejoin() before it is used again; what an earlier fleet still asks of it may come
  // in between.
  void leave() noexcept;
  void rejoin() noexcept;
  // A new list names it: if it is ejected, the next call may probe it.
  void announced() noexcept;
  // The bound for the former nodes of one node, to which many names may come to lead at once.
  // Beyond it the oldest are forgotten.
  static constexpr size_t kMostFormer = 256;
  // Where the names of a node led before they led there: perhaps to the same server. Each once.
  using Former = std::vector<std::weak_ptr<Node>>;
  using Nodes = std::span<const std::shared_ptr<Node>>;
  // Of `to`, once the names that lead to the nodes of `from` do so.
  static Former former_of(const std::shared_ptr<Node>& to, Nodes from);
  Former former() const;
  // A new list has names lead here that led elsewhere: the node is flushed before it is used.
  void names_lead_here(Former former) noexcept;
  // Nodes at other ports of its host, which are not in the list: one of them may be the same
  // server. What is given up there is waited for; only if there is any, a node that says that it
  // was emptied before is flushed all the same.
  Former other_ports() const;
  void has_other_ports(Former ports) noexcept;
  // Of a node that has left the list: the nodes of the list that have it among their former ones.
  // What calls on an earlier list leave owed here, these owe, too.
  using Successors = std::vector<std::weak_ptr<Node>>;
  void is_succeeded_by(std::shared_ptr<const Successors> successors) noexcept;
  // Closes connections that were given up and have ended.
  void close_ended() noexcept;
  // Closes those that nobody uses at the moment.
  void close_idle() noexcept { pool_.clear(); }

  // "host:port" or the path, for messages.
  const std::string& name() const noexcept { return name_; }
  const Endpoint& endpoint() const noexcept { return pool_.endpoint(); }
  bool healthy() const;
  // Nothing has succeeded since its last failure.
  bool is_failing() const;
  // Keys that are to be deleted; the bound plus one if everything is.
  size_t owed() const;

 private:
  Result<std::unique_ptr<Connection>> probe(Deadline deadline);
  Result<std::unique_ptr<Connection>> probe_and_report(Deadline deadline);
  // A connection to a server at which nothing is owed.
  Result<std::unique_ptr<Connection>> take_paid(Deadline deadline, Try which);
  Result<void> pay(Deadline deadline, Try which);
  Result<void> pay_all(Deadline deadline);
  Result<void> pay_part(const OwedDeletes::Part& part, Deadline deadline);
  // The connections of the pool led to one address, and lead to the other one from now on. Where
  // std::bad_alloc passes, nothing has been done.
  void move(const std::string& from, const std::string& to);
  // Those that were given up at this address, if the name leads elsewhere by now. With mutex_.
  LingeringList& lingering_at(const std::string& address) noexcept;
  // Whether some were given up at an address that the name led to before; and have not ended. With
  // mutex_.
  bool keeps_former_lingering() const noexcept;
  bool has_former_lingering() noexcept;
  // Waits for the connections that were given up at its former addresses; false at the deadline.
  bool await_former(Deadline deadline);
  bool lingers() noexcept;
  void owe_here(const Operation& operation) noexcept;
  void owe_key(std::string_view key) noexcept;
  std::shared_ptr<const Successors> successors() const noexcept;
  // Whether the node says that rule 5 spares it the flush. False where it says nothing.
  bool is_emptied(Deadline deadline);
  // What was stored here before may be old; now, while connections linger that nobody has seen end.
  TimePoint old_before() const;
  // What was given up here may have come until then; now, as above. The beginning of time: nothing.
  TimePoint late_before() const;
  bool keeps_lingering() const noexcept;  // with mutex_
  void note_failure(const Error& error, Try which) noexcept;
  void note_success();
  Error ejected_error() const;  // with mutex_

  const std::string name_;
  const bool needs_handshake_;
  const Dialect dialect_;
  const std::chrono::milliseconds connect_timeout_;
  const size_t idle_connections_;
  const std::chrono::milliseconds lease_;
  const std::shared_ptr<ClientObserver> observer_;  // null: nobody
  const size_t most_owed_keys_;
  ConnectionPool pool_;

  // All of the rest is guarded by it.
  mutable std::mutex mutex_;
  NodeHealth health_;
  std::string last_failure_;
  OwedDeletes owed_;
  OwedDeletes moved_;
  TimePoint old_before_{};     // what was stored there before may be old, if everything is owed
  TimePoint late_before_{};    // what was given up may have come until then
  bool was_unlisted_ = false;  // since it was emptied last
  LingeringList lingering_;
  bool awaits_lingering_ = false;  // a thread has some of them and waits for their end
  std::string awaited_at_;         // where these are, if the name has moved meanwhile; else empty
  std::map<std::string, LingeringList> former_lingering_;  // by an address that it led to before
  TimePoint moved_until_{};                                // when it no longer waits for those
  Former former_;                                          // the latest is the last
  Former other_ports_;
  TimePoint former_until_{};                      // when it no longer waits for these two
  std::shared_ptr<const Successors> successors_;  // null: none
  TimePoint close_ended_from_{};                  // looked at once a second
  bool indebted_ = false;                         // something is owed or lingers, or is being paid
  bool paying_ = false;                           // a thread is at it
  std::condition_variable paid_;
};

}  // namespace larder::client
