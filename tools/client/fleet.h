// Fleet: the ring and its nodes at one moment. Another list of servers is another Fleet, in which
// nodes that stay keep their connections, their health and what they owe.
//
// A list that changes moves keys to other nodes, and their old values stay behind: if a node joins
// and leaves again, the others still have what its keys were before. So:
// 1. A key that is written is remembered at each node of this fleet that had it under one of the
//    lists before; when the list changes next, it is deleted there before anything is read
//    (node.h). Lists of the same nodes at the same addresses count once. Of those that differ the
//    last kRingsRemembered are known: the nodes of one that is forgotten are flushed.
// 2. A node that has left the list and comes back is flushed before it is used. It is the same Node
//    as before: it still waits for the connections on which writes were given up (node.h).
// 3. Where a name leads to another address than it did last, the node there is flushed before it is
//    used: it may be the same server, which has what its keys were before, or one with older items.
//    So it is where a host has another port that is new, in place of one from before.
// 4. A write on a list that is followed no more, at a node that has left since, is owed where the
//    name of that node leads, also if it is done: it may have come after the flush there.
// 5. A node that joins or returns waits for writes that were given up, until then, at ports of its
//    host that the list names no more: it may be the server that had one of these. It is not
//    flushed for that if there are none, as where nodes of one host restart one after another.
// All five hold for what one client has seen: it does not know a list from before its start, nor
// what other clients write that do not keep to this.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/client/client_options.h"
#include "tools/client/node.h"
#include "tools/client/past_rings.h"
#include "tools/client/result.h"
#include "tools/client/ring.h"

namespace larder::client {

constexpr size_t kRingsRemembered = 64;
// Of nodes that have left, and of names that have; beyond, whichever node joins is flushed.
constexpr size_t kDepartedRemembered = 10'000;

// Where a client connects to for this server.
Endpoint endpoint_of(const Server& server);

// Immutable but for the nodes and one flag: any thread.
class Fleet {
 public:
  // BadRequest with what the ring says to these servers.
  static Result<std::shared_ptr<Fleet>> make(const std::vector<Server>& servers,
                                             const ClientOptions& options);

  // The next one, with these servers. Changes nothing of this one and of its nodes; call
  // supersede() before anybody may use it. One thread at a time.
  Result<std::shared_ptr<Fleet>> next(const std::vector<Server>& servers,
                                      const ClientOptions& options) const;
  // Marks `before`, whose next() made this one, as superseded, makes what is remembered of moved
  // keys owed, lets go of the nodes that are not in this one, and prepares those that come back or
  // to which another name leads. Once.
  void supersede(Fleet& before) noexcept;

  // For a key that is about to be, or has been written here. At the end of the write; it may come
  // after the fleet was superseded.
  void remember_where_it_was(std::string_view key) const noexcept;

  Node& node_of(std::string_view key) const { return *nodes_[ring_.node_of(key)]; }
  // In the order of the list.
  std::span<const std::shared_ptr<Node>> nodes() const noexcept { return nodes_; }
  // Of these and of those that have left.
  void close_ended() const noexcept;
  const Ring& ring() const noexcept { return ring_; }

 private:
  struct Past {
    std::shared_ptr<const Ring> ring;
    std::vector<std::shared_ptr<Node>> nodes;  // of the ring; null: not in this fleet
  };
  static_assert(kRingsRemembered <= PastRings::kMost);
  // What supersede() does: by then all memory that this needs has been found.
  struct Changes {
    std::vector<std::shared_ptr<Node>> staying;
    std::vector<std::shared_ptr<Node>> leaving;
    std::vector<std::shared_ptr<Node>> rejoining;
    std::vector<std::shared_ptr<Node>> forgotten;  // of the list that is forgotten
    struct Move {
      std::shared_ptr<Node> to;
      Node::Former former;
    };
    std::vector<Move> moves;  // of names; one for each node to which any moves
    std::vector<Move> ports;  // other ports of hosts; one for each node that joins or returns
    struct Succession {
      std::shared_ptr<Node> departed;
      std::shared_ptr<const Node::Successors> successors;
    };
    std::vector<Succession> successions;
  };

  explicit Fleet(Ring ring) : ring_(std::move(ring)) {}
  // The nodes of this and earlier lists on a host, at ports that are not listed any more: at most
  // Node::kMostFormer, those of this list first.
  //
  // host  the name of a server, up to its port
  std::vector<std::shared_ptr<Node>> left_from(
      const std::string& host, const std::map<std::string, std::shared_ptr<Node>>& listed) const;
  // Of each node that is not listed and is a former one of any that is.
  static std::vector<Changes::Succession> successions_of(
      const std::map<std::string, std::shared_ptr<Node>>& listed,
      const std::vector<Changes::Move>& moves);
  // Whether each key that was at a node of this fleet under that list has the same node now.
  bool has_places_of(const Past& past) const;

  Ring ring_;
  std::vector<std::shared_ptr<Node>> nodes_;               // of the ring
  std::vector<Past> past_;                                 // the latest first
  PastRings past_rings_;                                   // of these
  std::map<std::string, std::shared_ptr<Node>> departed_;  // of earlier lists, by their names
  // By the name of a server: where it led last, also of earlier lists.
  std::map<std::string, std::shared_ptr<Node>> led_to_;
  bool too_many_departed_ = false;  // to have all of them
  Changes changes_;                 // empty once they are made
  // Set before the moved keys become owed, and read after one is remembered: whoever remembers too
  // late for that sees it and makes the key owed itself. Sequentially consistent; the nodes' mutex
  // orders the rest.
  std::atomic<bool> superseded_ = false;
};

}  // namespace larder::client
