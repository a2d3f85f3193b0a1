// Name lookup: the addresses of a host, before a deadline.
//
// c-ares asks the name servers, because getaddrinfo() has no deadline and cannot be cancelled.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tools/client/cancellation.h"
#include "tools/client/deadline.h"
#include "tools/client/result.h"

namespace larder::client {

// Of a host and a port, for connect().
struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t bytes = 0;

  int family() const noexcept { return storage.ss_family; }
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
  // Without the port, in digits; different addresses have different texts.
  std::string text() const;
};

struct HostAddresses {
  std::vector<SocketAddress> list;  // best first; never empty
  // False: the time was over when only those of IPv4 or those of IPv6 had come.
  bool complete = true;
};

// The addresses of a host, best first (RFC 6724). An address in digits needs no name
// server. A name is looked up in /etc/hosts and then by DNS, with the search domains of
// resolv.conf; nsswitch.conf does not count. Each call reads both files anew.
//
// name_servers  ConnectionOptions::name_servers
// deadline      a name server may use three quarters of the time until then; what it has told by
//               then is used
// cancellation  null: nobody cancels
//
// Unreachable if the name has no address or no name server answers in good order, Timeout at the
// deadline or when cancelled, BadRequest if name_servers is no list of addresses. The error's text
// is the reason alone, without the host. Throws std::bad_alloc, also where c-ares has no memory.
// Any thread.
Result<HostAddresses> look_up(const std::string& host, uint16_t port,
                              const std::string& name_servers, Deadline deadline,
                              const Cancellation* cancellation = nullptr);

// Of a host that is an address in digits, without a name server and without waiting; empty: it is a
// name. Unreachable if it is neither.
Result<std::vector<SocketAddress>> addresses_in_digits(const std::string& host, uint16_t port);

// What is wrong with ConnectionOptions::name_servers, in a sentence; empty: nothing.
std::string fault_of_name_servers(const std::string& name_servers);

}  // namespace larder::client
