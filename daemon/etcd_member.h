// EtcdMember: one server's part in a fleet whose list of nodes is kept in etcd. What to ask etcd
// next, and what its answers mean; who carries the words is another's business (cluster_etcd.h).
//
//   /larder/NAME/nodes/HOST:PORT   # incarnation N  one for each node, under the node's lease
//                                  host|ip|port
//   /larder/NAME/list              12               a list as of cluster_list.h, what all publish
//                                  host|ip|port ... (the version is there only if it has to be)
//
// A node puts its key under a lease and keeps that alive, so that its key goes when it does. The
// keys of the nodes say who is there, but not since when: a key that went leaves no revision behind
// that a later reader could see. So the nodes that are there also write what they see into the
// list's key, and **its revision is the version**. Everything is judged on one read of the whole
// prefix, which etcd answers as of one revision; a watch only says when to read.
//
//  1. The list's key is written by a transaction that demands that it is still as it was read.
//     So its content changes one step at a time, and each content has a revision of its own.
//  2. Who reads that the list differs from the nodes, writes it; who reads that it is the same,
//     publishes it. When keys stop changing, the list becomes what they say, and all publish that
//     with one version, since all take both from the same key. That some were not there when it
//     changed, or read other things in between, makes no difference.
//  3. The version only grows: revisions do, within the life of etcd's data. If the data were lost,
//     revisions begin anew, below versions that clients know. Then the one that writes names a
//     version in the list that is larger than its own and than the list's, and the larger of the
//     two counts. Who finds a list whose version is not above the one that it publishes, writes it
//     anew; so all arrive at the largest one. (Until then, and in that case only, two nodes may
//     publish different lists under one version.)
//  4. An empty list is never written nor published: nobody is left who would. A server that finds
//     its lease gone (etcd was away longer than it lasts, so that others' may be gone, too) waits
//     for one lease before it takes from the list in force those who are not back.
//  5. A key under nodes/ whose value is not the node that it names is logged and ignored; the other
//     nodes count. The node whose key it is puts its value again. Until it does, and for one lease
//     at most, no server writes a list without that node: clients would drop it and take it back
//     within a moment.
//  6. While a list leaves a node out, clients store its keys at other nodes, and what it has of
//  them
//     is old. So a node that is not sure that every list since its items were stored has had it
//     drops all of them before it puts its key. Only a node's own key brings it into a list: it is
//     sure if the list that it reads before it puts its key has it. The put demands that the list
//     is still that one. Items of a process before this one (-e) count only if that process is
//     known to have had the place until now.
//
// To spread the writes the node that comes first in the list writes at once, the next ones a
// little later, if it is still needed then.
//
// What has failed is tried again, at the next endpoint, after a pause that grows to kLongestPause,
// with jitter. While etcd cannot be used the list in force stays, and the log has one line about
// it and one when that is over.
//
// One thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/cluster_list.h"
#include "daemon/discovery.h"
#include "daemon/etcd_messages.h"

namespace larder::daemon {

class EtcdMember {
 public:
  using Clock = std::chrono::steady_clock;

  static constexpr std::chrono::milliseconds kShortestPause{100};
  static constexpr std::chrono::milliseconds kLongestPause{2000};
  // From a read to the next one, for each kReadBytes of its answer that have begun, so that a
  // prefix that never rests costs a bounded part of a thread: to parse and judge kReadBytes takes 3
  // ms.
  static constexpr std::chrono::milliseconds kBetweenReads{20};
  static constexpr size_t kReadBytes = 64 * 1024;

  struct Identity {
    std::string name;  // of the fleet
    ClusterNode node;  // what this server is announced as
    std::chrono::seconds lease{10};
    uint64_t seed = 0;  // of the jitter
    std::string user;   // that etcd asks for; empty: it asks nobody
    std::string password;
  };

  // The items that a process before this one has left behind (-e).
  struct Inherited {
    uint64_t incarnation = 0;   // of that process; 0: unknown
    uint64_t list_version = 0;  // of the list that it followed last; 0: unknown
  };
  struct Contents {
    uint64_t incarnation = 0;  // of this process: a random number, not 0
    std::optional<Inherited> inherited;
    // Drops all items that were stored before the call. Called by next().
    std::function<void()> drop;
  };

  // One request, a POST.
  struct Call {
    const char* path;
    std::string body;
    std::string token;  // for the header Authorization, if there is one
  };

  // `discovery` must outlive it, and have no other source.
  EtcdMember(Identity identity, Contents contents, Discovery& discovery);

  // -- Calls. One is under way at a time: it is answered or has failed before there is a next one.

  // serving  whether clients of this server are served; if not, its lease is left to run out
  std::optional<Call> next(Clock::time_point now, bool serving);
  // When to ask for the next one, at the latest, if there was none.
  Clock::time_point wake_at() const noexcept { return wake_at_; }
  // `status` is HTTP's.
  void answered(int status, std::string_view body, Clock::time_point now);
  // There was no whole answer. `why` is what follows "cannot use etcd: ".
  void failed(const std::string& why, Clock::time_point now);
  // Counts up with every failure: which endpoint is to be used.
  size_t endpoint() const noexcept { return failures_in_all_; }

  // -- The watch, an answer without end, beside the calls.

  // Whether one should be open. If one is and this says no, it is to be closed without a word.
  bool wants_watch(Clock::time_point now) const noexcept;
  Call watch() const;
  // False: it is of no use any more. Then, or if it ended by itself, watch_ended() is to be called.
  [[nodiscard]] bool watch_line(std::string_view line, Clock::time_point now);
  void watch_ended(Clock::time_point now);

  // -- The end.

  // Gives up the lease, and so the place in the list, and goes on following the list: clients that
  // ask this server are told of the nodes that are left. Tried again until etcd has done it or the
  // lease has run out.
  void withdraw() noexcept { withdrawn_ = true; }
  // What is left to do is to give up the lease.
  void leave() noexcept { leaving_ = true; }
  bool left() const noexcept { return left_; }  // that is done, or cannot be

  // Whether what etcd says is known and followed.
  bool connected() const noexcept { return connected_; }

 private:
  enum class Ask : uint8_t { Authenticate, Grant, KeepAlive, Put, Read, Publish, Revoke };

  // What was read last.
  struct Snapshot {
    uint64_t revision = 0;
    std::vector<std::pair<std::string, uint64_t>> keys;  // and when they were changed
    std::vector<ClusterNode> nodes;                      // in the order of their keys
    ClusterList list;                   // with its effective version; no nodes: it is of no use
    uint64_t list_mod_revision = 0;     // 0: there is no key
    std::set<std::string> complaints;   // about the pairs that cannot be used
    std::vector<std::string> unusable;  // of those the keys under nodes/, in their order
    uint64_t own_incarnation = 0;       // that this server's key names; 0: none
  };

  std::optional<Ask> choose(Clock::time_point now, bool serving);
  Call call_for(Ask ask) const;
  void wake_by(Clock::time_point when) noexcept;
  void read_soon(Clock::time_point now) noexcept;
  void lose_lease(Clock::time_point now);
  void use(EtcdRange range, Clock::time_point now);
  Snapshot understand(const EtcdRange& range) const;
  bool has_kept_its_place() const;
  void look_for_own_key(const EtcdRange& range, Clock::time_point now);
  bool is_unusable(const std::string& key) const;
  // Whether the list in force has a node whose key is there and cannot be used.
  bool awaits_repair(const Discovery::Published& published) const;
  void judge(Clock::time_point now);
  bool list_is_due() const;
  // Logs those that it has not logged since they came.
  void complain(const std::set<std::string>& complaints, Clock::time_point now);
  void set_connected(size_t nodes);
  std::string new_list() const;

  const Identity identity_;
  const std::string prefix_;
  const std::string nodes_prefix_;
  const std::string list_key_;
  const std::string own_key_;
  const std::string own_value_;
  const Contents contents_;
  const std::chrono::milliseconds third_;  // of the lease
  Discovery& discovery_;
  std::minstd_rand random_;

  std::optional<Ask> asked_;
  Clock::time_point wake_at_{};
  std::string token_;
  int64_t lease_ = 0;           // 0: none
  bool announced_ = false;      // the key is there, with this lease or another's
  bool outdone_ = false;        // another server holds it
  bool was_outdone_ = false;    // since the items were dropped last
  bool has_put_ = false;        // under this lease
  bool was_announced_ = false;  // since this process began
  // Whether every list since the items were stored has had this node, as of what was read last.
  // Nothing: that is not known, and is to be read before the key is put.
  std::optional<bool> kept_its_place_;
  unsigned puts_in_vain_ = 0;  // in a row: what was read since does not show the key
  Clock::time_point put_not_before_{};
  bool idle_ = false;  // told that nobody is served
  Clock::time_point keep_alive_at_{};
  Clock::time_point read_at_{};
  Clock::time_point last_read_{};
  std::chrono::milliseconds after_read_ = kBetweenReads;
  std::optional<Clock::time_point> publish_at_;
  Clock::time_point settled_at_{};
  std::optional<Clock::time_point> repaired_by_;  // as long as awaits_repair()
  std::optional<Snapshot> seen_;

  bool reachable_ = false;  // the last call was answered well
  bool connected_ = false;
  bool told_of_trouble_ = false;
  bool publish_failed_ = false;
  unsigned writes_in_vain_ = 0;       // of the list, since it was as it should be
  std::set<std::string> complained_;  // what was logged, and was there in the last read
  unsigned complaint_lines_ = 0;
  Clock::time_point complaints_counted_until_{};
  unsigned failures_ = 0;  // in a row
  size_t failures_in_all_ = 0;
  Clock::time_point not_before_{};  // after a failure

  bool change_was_told_ = true;  // a watch or an answer said that there is something to read
  unsigned watch_failures_ = 0;
  Clock::time_point watch_not_before_{};

  bool withdrawn_ = false;
  bool leaving_ = false;
  bool left_ = false;
};

}  // namespace larder::daemon
