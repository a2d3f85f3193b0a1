// ListenerTraits: what a connection takes over from the listener that accepted it.
#pragma once

#include <cstdint>

#include "daemon/settings.h"

namespace larder::daemon {

enum class TlsMode : uint8_t {
  Off,      // plain text: without -Z, on unix sockets, behind "notls:"
  AsSet,    // client certificates as -o ssl_verify_mode says
  NoPeer,   // "btls:": client certificates are not asked for
  WithPeer  // "mtls:": no client without a certificate
};

struct ListenerTraits {
  TlsMode tls = TlsMode::Off;
  Settings::Protocol protocol = Settings::Protocol::Auto;
};

}  // namespace larder::daemon
