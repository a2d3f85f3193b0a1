// What a client is made with. Every default is one that a program in production can keep.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tools/client/connection.h"
#include "tools/client/node_health.h"
#include "tools/client/ring_kind.h"

namespace larder::client {

struct Server {
  std::string host;  // as the ring hashes it; empty: that hashes the path of the Unix socket
  uint16_t port = 11211;
  uint32_t weight = 1;
  std::string ring_name = {};  // RingNode::name
  // Where it is connected to, if not to the host: another name or an address, or a Unix socket.
  std::string address = {};
  std::string path = {};
};

// See discovery.h.
struct DiscoveryOptions {
  bool enabled = false;
  // Between two questions of the background thread; it also asks when a call has failed, once in a
  // second at most. 0: no thread, the list is asked for by make() and by Client::refresh() only.
  std::chrono::milliseconds interval{60'000};
};

// Is told what a client meets and does by itself. On the threads of calls and of discovery, many at
// once, while no lock is held; it is not to take long. It may call the client. A call from a
// function may reach the same function again: refresh() in list_failed needs an end of its own.
class ClientObserver {
 public:
  virtual ~ClientObserver() = default;

  // A call to the node failed, as far as that counts against it (ClientOptions::health).
  virtual void node_failed(const std::string& /*node*/, const Error& /*why*/) noexcept {}
  virtual void node_ejected(const std::string& /*node*/, const Error& /*why*/) noexcept {}
  // After an ejection: a probe has succeeded.
  virtual void node_returned(const std::string& /*node*/) noexcept {}
  virtual void list_followed(uint64_t /*version*/, size_t /*nodes*/) noexcept {}
  // Nobody told a list, though the client is not going away, or all who did told smaller versions
  // than the one that is followed: that is told once for each such version. The one before is
  // followed on.
  virtual void list_failed(const Error& /*why*/) noexcept {}
};

// Times may be as long as std::chrono::milliseconds::max(), where no bound is named: the client
// takes each that is longer than a century for a century, and one below 0 for 0.
struct ClientOptions {
  // At least one. With discovery: whom to ask; the list that they tell decides.
  std::vector<Server> servers;
  RingKind ring = kDefaultRing;
  ConnectionOptions connection;
  DiscoveryOptions discovery;

  // For each node: how many connections stay open while nobody uses them, and for how long. Every
  // call has one of its own for each node that it asks, so that as many are open as threads ask at
  // once; where these are more than stay open, each of the others connects anew. More than 65,535
  // count as so many: a client has no more ports for one server.
  size_t idle_connections = 256;
  std::chrono::milliseconds idle_timeout{60'000};
  // One that was in use less long ago is used without a look at whether the server has closed it
  // meanwhile, which is a call to the kernel. If it has, that request fails with Closed. In classic
  // each is looked at.
  std::chrono::milliseconds trusted_idle{20};
  // Of a connection: the lookup of its name, TLS and login included; never beyond the request's own
  // end. A name server has three quarters of it.
  std::chrono::milliseconds connect_timeout{500};
  // Of a whole call, with its lookups, connections, retries and what a node needs before it is used
  // again. Also of Client::make() and Client::refresh(), for all servers together. A call returns
  // at most 20 ms later.
  std::chrono::milliseconds request_timeout{1'000};
  // How often what is safe is tried again (retry.h); 0: never.
  uint32_t retries = 2;
  // Before the first retry; doubled for each further one, less up to a half by chance.
  std::chrono::milliseconds retry_pause{10};

  std::shared_ptr<ClientObserver> observer;  // null: nobody

  HealthOptions health;
  // A node that was ejected for longer is flushed before it is used again, and one whose missed
  // deletes are more than these bounds hold.
  std::chrono::milliseconds lease{600'000};
  size_t most_owed_keys = 100'000;
  size_t most_owed_bytes = 8u << 20;
};

}  // namespace larder::client
