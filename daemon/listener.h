// Listener: one listening socket, TCP or unix.
//
// Opened while the server starts, on one thread; later only the thread that accepts uses it.
#pragma once

#include <string>
#include <vector>

#include "daemon/listen_address.h"
#include "daemon/listener_traits.h"
#include "daemon/settings.h"
#include "daemon/socket.h"

namespace larder::daemon {

class Listener {
 public:
  // Opens everything that the settings ask for: each -l (any address if there is none), and -s,
  // which turns TCP off unless -p was given. Throws std::runtime_error with one sentence that names
  // the option and its value.
  static std::vector<Listener> open_all(const Settings& settings);

  // Opens one address, for whatever is to be served there; `option` is what errors name.
  static std::vector<Listener> open_at(const Settings& settings, const std::string& option,
                                       const ListenAddress& address);

  // One that somebody else has opened and bound, and whose file, if it has one, is theirs.
  static Listener take(Socket socket, int domain, const Settings& settings);

  Listener(Listener&&) noexcept = default;
  Listener& operator=(Listener&&) noexcept = default;
  ~Listener();  // takes the file of a unix socket away

  // The next waiting client, not blocking. An empty socket comes with errno as accept4 left it.
  Socket accept() noexcept;

  int fd() const noexcept { return socket_.fd(); }
  bool is_tcp() const noexcept { return port_ != 0; }
  bool is_v6() const noexcept { return v6_; }
  int port() const noexcept { return port_; }  // really bound; 0 for a unix socket
  std::string address() const;                 // as `stats conns` shows it
  const ListenerTraits& traits() const noexcept { return traits_; }
  // The address, and in parentheses behind it what makes this listener unlike others.
  std::string description() const;

 private:
  friend void open_tcp(const Settings&, const std::string& option, const ListenAddress&,
                       std::vector<Listener>& into);
  friend Listener open_unix(const Settings&);

  Listener(Socket socket, int port, bool v6) : socket_(std::move(socket)), port_(port), v6_(v6) {}

  Socket socket_;
  int port_ = 0;
  bool v6_ = false;
  std::string path_;  // of a unix socket
  ListenerTraits traits_;
  std::string tag_;  // -l tag[name]; memcached shows it to scripts of its proxy, to nobody else
};

// Of a TCP or UDP socket; 0 if it has none.
int bound_port(int fd);

// A bound datagram socket for one worker.
struct UdpSocket {
  Socket socket;
  int port = 0;  // really bound
  bool v6 = false;
  bool shared = false;  // another before it in the list has the same address
};

// Opens what -U asks for, on the addresses of -l and as many for each as workers_per_udp_address:
// none without -U, or where -s turns the network off. Throws like Listener::open_all.
std::vector<UdpSocket> open_udp_sockets(const Settings& settings);

// Writes the ports found to the file that the environment variable MEMCACHED_PORT_FILENAME names,
// a line "TCP INET: 12345", "TCP INET6: 12345" or "UDP INET: 12345" each; nothing if it is not set.
// Scripts that start the server with -p -1 read them there.
void write_port_file(const std::vector<Listener>& listeners,
                     const std::vector<UdpSocket>& udp_sockets = {});

}  // namespace larder::daemon
