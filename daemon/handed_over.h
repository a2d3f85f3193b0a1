// Sockets that whoever started the process has opened for it, by systemd's protocol
// (sd_listen_fds): LISTEN_PID names this process, LISTEN_FDS says how many there are, from
// descriptor 3 on, and LISTEN_FDNAMES how they are called.
#pragma once

#include <string>
#include <vector>

#include "daemon/listener.h"
#include "daemon/settings.h"
#include "daemon/socket.h"

namespace larder::daemon {

struct HandedOver {
  Socket socket;
  std::string description;  // "descriptor 3 of LISTEN_FDS (web.socket)", for errors
};

// Takes them out of the environment, so that nobody does so again; none if they are another
// process's. To be called before any other descriptor is opened and before fork. Throws
// SettingsError if the numbers are none.
std::vector<HandedOver> take_handed_over();

// What they are to the server: all that it listens on.
struct HandedOverPorts {
  std::vector<Listener> listeners;  // TCP and unix; the file of a unix socket stays at the end
  std::vector<UdpSocket> udp_sockets;
};

// Throws SettingsError if one is neither a listening stream socket nor a bound UDP socket.
HandedOverPorts use_handed_over(std::vector<HandedOver> sockets, const Settings& settings);

}  // namespace larder::daemon
