// What a ring hashes for a node, before it appends the number of the point.
#pragma once

#include <string>

#include "tools/client/ring_kind.h"
#include "tools/client/ring_node.h"

namespace larder::client {

// The label of a node as the library of the ring writes it:
//
//                    host         IPv6 address               Unix socket
//   libmemcached     host:port    host:port                  path:0
//   twemproxy        host:port    host:port                  path:
//   nginx            host\0port   [host]\0port               path\0
//   spymemcached     host:port    [a:b:c:d:e:f:g:h]:port     none
//   all others       host:port    host:port                  path
//
// libmemcached and twemproxy leave out port 11211. The name of a node replaces all of it.
// spymemcached gets its address from Java (14 or later), which writes all eight groups, without
// leading zeros, and an IPv4-mapped address as IPv4.
//
// node  one that address_fault() accepts
std::string ring_label(RingKind kind, const RingNode& node);

// Why the library of the ring cannot have a node of this address, as a sentence without its full
// stop; empty if it can. A node with a name passes: other clients may use another address for it.
std::string address_fault(RingKind kind, const RingNode& node);

// Whether the host is the path of a Unix socket. Its port has no meaning.
bool is_unix_socket(const RingNode& node) noexcept;

}  // namespace larder::client
