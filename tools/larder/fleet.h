// Fleet: the nodes of a ring with a connection to each, made when it is first needed, and again
// after it has failed.
//
// One thread at a time, but for what on_every_node() runs.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tools/client/connection.h"
#include "tools/client/lingering.h"
#include "tools/client/operation.h"
#include "tools/client/ring.h"

namespace larder::operate {

struct FleetSettings {
  client::ConnectionOptions connection;
  // Of one step: a connection, or all answers to what was sent at once.
  std::chrono::milliseconds timeout{5000};
};

class Fleet {
 public:
  Fleet(client::Ring ring, FleetSettings settings);

  size_t size() const noexcept { return ring_.nodes().size(); }
  const client::Ring& ring() const noexcept { return ring_; }
  const FleetSettings& settings() const noexcept { return settings_; }
  // "10.0.0.1:11211", as servers.h writes it.
  std::string name_of(size_t node) const;
  client::Deadline deadline() const { return std::chrono::steady_clock::now() + settings_.timeout; }

  // The node's connection; owned by the fleet, good until it fails or the fleet ends. One that the
  // server has closed since its last use, as servers do with idle ones, is made anew.
  client::Result<client::Connection*> connection(size_t node);
  // One more, of the caller's own.
  client::Result<std::unique_ptr<client::Connection>> open(size_t node) const;

  // Sends each operation to the node of its key, all at once, and waits. The answers are in the
  // operations' order. Where something throws, the connections in use are closed.
  //
  // An add is sent in the classic dialect where the others are in meta and its key can be said: an
  // `ms` that a server refuses for its size or for want of memory deletes what is there, and
  // memcached (1.6.45, with -M) crashes when it shows one to a watcher. Classic replies to adds do
  // not tell their requests: a barrier (`version`) ends those of a node. Where another reply takes
  // its place, all of them fail, and leave doubt.
  std::vector<client::Answer> run(std::span<const client::Operation> operations);
  // Of the last run(): whether the node has not answered the barrier behind its classic adds, so
  // that NotStored and a refusal may be the answer to another add.
  bool is_unproven(size_t node) const { return unproven_[node]; }
  // Likewise: whether it has not answered the barrier within the timeout.
  bool is_barrier_late(size_t node) const { return late_barriers_[node]; }
  // As run(), to one node and in the dialect of the fleet.
  std::vector<client::Answer> run_on(size_t node, std::span<const client::Operation> operations);

  // Whether nothing can come any more of changes that were given up without an answer: waits until
  // the node has closed the connections that they were sent on.
  bool await_given_up(size_t node, client::Deadline deadline);

  // Whether the node has a connection that has not failed. After run_on(): its errors are those of
  // single operations.
  bool is_connected(size_t node) const;

  // What the node says to a text command (Connection::ask).
  client::Result<std::string> ask(size_t node, std::string_view command,
                                  std::span<const std::string_view> ends);

  // Runs `visit` for every node, many at a time, each on a thread of its own: it may use what
  // belongs to its node and nothing else of the fleet. Returns when all have returned. Where
  // no thread can be created, the caller's visits the node. Rethrows the first exception of a visit
  // when all have ended.
  void on_every_node(const std::function<void(size_t node)>& visit);

 private:
  struct Part;

  client::Ring ring_;
  FleetSettings settings_;
  // By node; null: none yet. Behind those of all nodes the ones for adds in the classic dialect.
  std::vector<std::unique_ptr<client::Connection>> connections_;
  std::vector<client::LingeringList> given_up_;  // by node
  std::vector<bool> unproven_;                   // by node
  std::vector<bool> late_barriers_;              // by node

  size_t slot_of(const client::Operation& operation, size_t node) const noexcept;
  client::Result<client::Connection*> connection_in(size_t slot);
  void drop(size_t slot) noexcept;
  void run_parts(std::span<const client::Operation> operations, std::vector<Part>& parts);
  static void wait_for(std::vector<Part>& parts, client::Deadline deadline);
};

}  // namespace larder::operate
