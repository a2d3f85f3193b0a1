#include "daemon/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "daemon/log.h"
#include "daemon/replace_file.h"

namespace larder::daemon {
namespace {

struct AddrinfoDeleter {
  void operator()(addrinfo* list) const noexcept { freeaddrinfo(list); }
};
using AddrinfoPtr = std::unique_ptr<addrinfo, AddrinfoDeleter>;

// Room for long replies until the network has taken them; the kernel cuts it to what it allows.
constexpr int kUdpSendBytes = 4 * 1024 * 1024;

[[noreturn]] void fail(const std::string& option, const std::string& reason) {
  throw std::runtime_error("cannot listen on " + option + ": " + reason);
}

std::string reason_of(int error) {
  switch (error) {
    case EADDRINUSE:
      return "the port is in use";
    case EADDRNOTAVAIL:
      return "this machine does not have that address";
    case EACCES:
      return "ports below 1024 need root";
    case EMFILE:
    case ENFILE:
      return "out of file descriptors";
    default:
      return std::strerror(error);
  }
}

AddrinfoPtr resolve(const std::string& option, const ListenAddress& address, int socket_type) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = socket_type;
  const std::string port = std::to_string(address.port == -1 ? 0 : address.port);
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address.host.empty() ? nullptr : address.host.c_str(), port.c_str(),
                                &hints, &found);
  if (error != 0) fail(option, gai_strerror(error));
  return AddrinfoPtr(found);
}

void set_flag(int fd, int level, int name) {
  const int on = 1;
  setsockopt(fd, level, name, &on, sizeof on);
}

// Each way of authenticating belongs to one protocol; a listener for another one would be a door
// that nobody guards, or that lets nobody in.
Settings::Protocol protocol_of(const Settings& settings, const ListenAddress& address,
                               const std::string& option) {
  const Settings::Protocol asked = address.protocol.value_or(settings.protocol);
  if (settings.sasl && settings.auth_file.empty() && asked != Settings::Protocol::Binary) {
    fail(option, "-S needs the binary protocol");
  }
  if (settings.auth_file.empty() || asked == Settings::Protocol::Ascii) return asked;
  if (asked == Settings::Protocol::Binary) fail(option, "-Y needs the ascii protocol");
  log(LogLevel::Warning, "listener " + option + " takes the ascii protocol only, because of -Y");
  return Settings::Protocol::Ascii;
}

ListenerTraits traits_of(const Settings& settings, const ListenAddress& address,
                         const std::string& option) {
  return {address.tls.value_or(settings.tls.enabled ? TlsMode::AsSet : TlsMode::Off),
          protocol_of(settings, address, option)};
}

// Does somebody answer there?
bool is_alive(const sockaddr_un& address) {
  const Socket probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(probe.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return true;
  }
  return errno == EAGAIN;  // its queue is full
}

}  // namespace

int bound_port(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

// Every address that the name stands for. Families that the machine does not have are left out as
// long as one works; a port in use is an error in any case, or a second server would quietly share
// the work with the first.
void open_tcp(const Settings& settings, const std::string& option, const ListenAddress& address,
              std::vector<Listener>& into) {
  const ListenerTraits traits = traits_of(settings, address, option);
  const AddrinfoPtr found = resolve(option, address, SOCK_STREAM);
  const size_t before = into.size();
  int last_error = 0;
  for (const addrinfo* info = found.get(); info != nullptr; info = info->ai_next) {
    Socket socket(::socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) {
      last_error = errno;
      if (last_error == EMFILE || last_error == ENFILE) fail(option, reason_of(last_error));
      continue;
    }
    // Connections inherit the rest from their listener: no call for each of them.
    const bool v6 = info->ai_family == AF_INET6;
    if (v6) set_flag(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY);
    set_flag(socket.fd(), SOL_SOCKET, SO_REUSEADDR);
    set_flag(socket.fd(), SOL_SOCKET, SO_KEEPALIVE);
    set_flag(socket.fd(), IPPROTO_TCP, TCP_NODELAY);
    if (::bind(socket.fd(), info->ai_addr, info->ai_addrlen) != 0 ||
        ::listen(socket.fd(), settings.backlog) != 0) {
      last_error = errno;
      if (last_error == EADDRINUSE || last_error == EACCES) fail(option, reason_of(last_error));
      continue;
    }
    const int port = bound_port(socket.fd());
    Listener listener(std::move(socket), port, v6);
    listener.traits_ = traits;
    listener.tag_ = address.tag;
    into.push_back(std::move(listener));
  }
  if (into.size() == before) fail(option, reason_of(last_error));
}

Listener open_unix(const Settings& settings) {
  const std::string option = "-s " + settings.unix_socket;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (settings.unix_socket.size() >= sizeof address.sun_path) {
    fail(option,
         "the path is longer than " + std::to_string(sizeof address.sun_path - 1) + " bytes");
  }
  std::memcpy(address.sun_path, settings.unix_socket.data(), settings.unix_socket.size());

  struct stat there {};
  if (::lstat(address.sun_path, &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) fail(option, "a file that is no socket is in the way");
    if (is_alive(address)) fail(option, "another server answers there");
    ::unlink(address.sun_path);  // left over by a server that was killed
  }
  Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) fail(option, reason_of(errno));
  // The file must never be more open than -a says, not even for a moment.
  const mode_t old_mask = ::umask(static_cast<mode_t>(~settings.unix_mode & 0777));
  const int bound =
      ::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::umask(old_mask);
  if (bound != 0) fail(option, std::strerror(error));
  Listener listener(std::move(socket), 0, false);
  listener.path_ = settings.unix_socket;
  listener.traits_.protocol = settings.protocol;
  if (::listen(listener.fd(), settings.backlog) != 0) fail(option, std::strerror(errno));
  return listener;
}

Listener Listener::take(Socket socket, int domain, const Settings& settings) {
  const bool tcp = domain != AF_UNIX;
  if (tcp) {
    set_flag(socket.fd(), SOL_SOCKET, SO_KEEPALIVE);
    set_flag(socket.fd(), IPPROTO_TCP, TCP_NODELAY);
  }
  const int port = tcp ? bound_port(socket.fd()) : 0;
  Listener listener(std::move(socket), port, domain == AF_INET6);
  listener.traits_ = traits_of(settings, {}, "LISTEN_FDS");
  if (!tcp) listener.traits_.tls = TlsMode::Off;
  return listener;
}

std::vector<Listener> Listener::open_at(const Settings& settings, const std::string& option,
                                        const ListenAddress& address) {
  std::vector<Listener> listeners;
  open_tcp(settings, option, address, listeners);
  return listeners;
}

std::vector<Listener> Listener::open_all(const Settings& settings) {
  std::vector<Listener> listeners;
  if (!settings.unix_socket.empty()) listeners.push_back(open_unix(settings));
  if (settings.port == 0 || (!settings.unix_socket.empty() && !settings.port_given)) {
    return listeners;
  }
  if (settings.listen.empty()) {
    ListenAddress any;
    any.port = settings.port;
    open_tcp(settings, "-p " + std::to_string(settings.port), any, listeners);
  }
  for (const std::string& text : settings.listen) {
    const ListenAddress address = parse_listen_address(text, settings.port);
    std::string option = "-l " + text;
    if (address.tls && !settings.tls.enabled) {
      const std::string prefix = text.substr(0, text.find(':'));
      fail(option, "'" + prefix + "' option is valid only when SSL is enabled (-Z)");
    }
    if (address.port == settings.port) option += " (-p " + std::to_string(settings.port) + ")";
    open_tcp(settings, option, address, listeners);
  }
  return listeners;
}

namespace {

void set_port(sockaddr_storage& address, int port) {
  const uint16_t number = htons(static_cast<uint16_t>(port));
  if (address.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(address).sin6_port = number;
  } else {
    reinterpret_cast<sockaddr_in&>(address).sin_port = number;
  }
}

// An empty socket comes with errno.
Socket bind_udp(const sockaddr_storage& address, socklen_t length, bool shared) {
  Socket socket(::socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return socket;
  if (address.ss_family == AF_INET6) set_flag(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY);
  if (shared) set_flag(socket.fd(), SOL_SOCKET, SO_REUSEPORT);
  setsockopt(socket.fd(), SOL_SOCKET, SO_SNDBUF, &kUdpSendBytes, sizeof kUdpSendBytes);
  if (::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address), length) == 0) return socket;
  const int error = errno;
  socket.close();
  errno = error;
  return socket;
}

// A socket for each worker, and the kernel chooses one for each client: with one for all, every
// datagram would wake every worker that sleeps. Who may share a port shares it with other servers
// of the same user, too, so that it is bound alone first: then a port in use is an error.
void open_udp(const std::string& option, const ListenAddress& address, int workers,
              std::vector<UdpSocket>& into) {
  const AddrinfoPtr found = resolve(option, address, SOCK_DGRAM);
  const size_t before = into.size();
  int last_error = 0;
  for (const addrinfo* info = found.get(); info != nullptr; info = info->ai_next) {
    sockaddr_storage to{};
    std::memcpy(&to, info->ai_addr, info->ai_addrlen);
    Socket socket = bind_udp(to, info->ai_addrlen, false);
    if (!socket) {
      last_error = errno;
      if (last_error == EMFILE || last_error == ENFILE || last_error == EADDRINUSE ||
          last_error == EACCES) {
        fail(option, reason_of(last_error));
      }
      continue;
    }
    const int port = bound_port(socket.fd());
    const bool v6 = info->ai_family == AF_INET6;
    if (workers == 1) {
      into.push_back({std::move(socket), port, v6, false});
      continue;
    }
    socket.close();
    set_port(to, port);
    for (int i = 0; i < workers; ++i) {
      Socket own = bind_udp(to, info->ai_addrlen, true);
      if (!own) fail(option, reason_of(errno));
      into.push_back({std::move(own), port, v6, i > 0});
    }
  }
  if (into.size() == before) fail(option, reason_of(last_error));
}

}  // namespace

std::vector<UdpSocket> open_udp_sockets(const Settings& settings) {
  std::vector<UdpSocket> sockets;
  if (settings.udp_port == 0) return sockets;
  if (!settings.unix_socket.empty() && !settings.port_given) {
    log(LogLevel::Warning, "option -U has no effect with -s unless -p is given, too");
    return sockets;
  }
  if (settings.tls.enabled) {
    log(LogLevel::Warning, "option -U: UDP is not encrypted, with -Z as without");
  }
  const int workers = workers_per_udp_address(settings);
  const std::string port = "-U " + std::to_string(settings.udp_port);
  if (settings.listen.empty()) {
    ListenAddress any;
    any.port = settings.udp_port;
    open_udp(port, any, workers, sockets);
  }
  for (const std::string& text : settings.listen) {
    const ListenAddress address = parse_listen_address(text, settings.udp_port);
    open_udp("-l " + text + " (" + port + ")", address, workers, sockets);
  }
  return sockets;
}

Listener::~Listener() {
  if (socket_ && !path_.empty()) ::unlink(path_.c_str());
}

Socket Listener::accept() noexcept {
  return Socket(::accept4(socket_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

std::string Listener::address() const { return local_address(socket_.fd()); }

std::string Listener::description() const {
  std::string more;
  const auto add = [&more](const std::string& word) { more += (more.empty() ? "" : ", ") + word; };
  if (traits_.tls != TlsMode::Off) add("tls");
  if (traits_.tls == TlsMode::WithPeer) add("client certificates required");
  if (traits_.protocol == Settings::Protocol::Ascii) add("ascii");
  if (traits_.protocol == Settings::Protocol::Binary) add("binary");
  if (!tag_.empty()) add("tag " + tag_);
  return more.empty() ? address() : address() + " (" + more + ")";
}

void write_port_file(const std::vector<Listener>& listeners,
                     const std::vector<UdpSocket>& udp_sockets) {
  const char* name = std::getenv("MEMCACHED_PORT_FILENAME");
  if (name == nullptr) return;
  std::string lines;
  const auto add = [&lines](const char* transport, bool v6, int port) {
    lines += std::string(transport) + (v6 ? " INET6: " : " INET: ") + std::to_string(port) + "\n";
  };
  for (const Listener& listener : listeners) {
    if (listener.is_tcp()) add("TCP", listener.is_v6(), listener.port());
  }
  for (const UdpSocket& udp : udp_sockets) {
    if (!udp.shared) add("UDP", udp.v6, udp.port);
  }
  const std::string draft = std::string(name) + ".lck";
  if (!replace_file(name, draft, lines)) {
    log(LogLevel::Warning, "cannot write " + draft + ": " + std::strerror(errno));
  }
}

}  // namespace larder::daemon
