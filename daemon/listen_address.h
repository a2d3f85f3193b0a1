// ListenAddress: what one -l says: where to listen, and how the clients of this listener speak.
//
//   [notls:|btls:|mtls:][proto[<name>]:][tag[<name>]:]<host>[:<port>]
//
// All parts in this order, as memcached 1.6.45 reads them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "daemon/listener_traits.h"
#include "daemon/settings.h"

namespace larder::daemon {

constexpr size_t kMaxTagBytes = 8;

struct ListenAddress {
  std::string host;                            // empty: any address
  int port = 0;                                // -1: any free one
  std::optional<TlsMode> tls;                  // not given: as -Z says
  std::optional<Settings::Protocol> protocol;  // proto[ascii|binary|negotiating]; else as -B says
  std::string tag;                             // tag[name] or tag_name_, up to kMaxTagBytes
};

// Of "127.0.0.1", "localhost:11212", "[::1]:11212", "::1", ":11212", "*:11212" and the like, with
// or without prefixes. Throws std::runtime_error with one sentence if the text is none of these.
ListenAddress parse_listen_address(const std::string& text, int default_port);

// Of "9150", ":9150", "127.0.0.1:9150", "[::1]:9150", "*:9150", for --http: loopback where no host
// is named. Port 0: any free one. Throws like the above.
ListenAddress parse_http_address(const std::string& text);

}  // namespace larder::daemon
