// What a client is made with. Every default is one that a program in production can keep.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "tools/client/connection.h"
#include "tools/client/node_health.h"
#include "tools/client/ring_kind.h"

namespace larder::client {

struct Server {
  std::string host;  // as the ring hashes it
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
  // Between two questions of the background thread; 0: no thread, the list is asked for by make()
  // and by Client::refresh() only.
  std::chrono::milliseconds interval{60'000};
};

struct ClientOptions {
  // At least one. With discovery: whom to ask; the list that they tell decides.
  std::vector<Server> servers;
  RingKind ring = kDefaultRing;
  ConnectionOptions connection;
  DiscoveryOptions discovery;

  // For each node: how many connections stay open while nobody uses them, and for how long. Every
  // call has one of its own for each node that it asks, so that as many are open as threads ask at
  // once; where these are more than stay open, each of the others connects anew.
  size_t idle_connections = 256;
  std::chrono::milliseconds idle_timeout{60'000};
  // One that was in use less long ago is used without a look at whether the server has closed it
  // meanwhile, which is a call to the kernel. If it has, that request fails with Closed. In classic
  // each is looked at.
  std::chrono::milliseconds trusted_idle{20};
  // Of a connection, TLS and login included; never beyond the request's own end.
  std::chrono::milliseconds connect_timeout{500};
  // Of a whole call, with its connections, retries and what a node needs before it is used again.
  std::chrono::milliseconds request_timeout{1'000};
  // How often what is safe is tried again (retry.h); 0: never.
  uint32_t retries = 2;
  // Before the first retry; doubled for each further one, less up to a half by chance.
  std::chrono::milliseconds retry_pause{10};

  HealthOptions health;
  // A node that was ejected for longer is flushed before it is used again, and one whose missed
  // deletes are more than these bounds hold.
  std::chrono::milliseconds lease{600'000};
  size_t most_owed_keys = 100'000;
  size_t most_owed_bytes = 8u << 20;
};

}  // namespace larder::client
