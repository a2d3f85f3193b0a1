#include "tools/client/name_lookup.h"

#include <ares.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

namespace larder::client {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The first wait for an answer is this part of the time that is left, at most: a packet that is
// lost, or a name server that is silent, leaves time for the next one.
constexpr int kWaitsUntilDeadline = 4;
constexpr milliseconds kLongestWait{5'000};  // resolv.conf(5), timeout
// One for UDP and one for TCP of each of the three name servers that resolv.conf(5) allows, and as
// many again.
constexpr size_t kMostSockets = 12;

// Else c-ares takes the first letters of the modules in nsswitch.conf: "resolve files dns" would
// ask a name server for names of /etc/hosts. It copies this.
char kFilesThenDns[] = "fb";

// c-ares has no memory: as if an allocation of ours had failed, because that is not the host's
// fault.
void check_memory(int status) {
  if (status == ARES_ENOMEM) throw std::bad_alloc();
}

SocketAddress socket_address(const sockaddr* address, socklen_t bytes, uint16_t port) {
  SocketAddress made;
  made.bytes = std::min<socklen_t>(bytes, sizeof made.storage);
  std::memcpy(&made.storage, address, made.bytes);
  if (made.family() == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&made.storage)->sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6*>(&made.storage)->sin6_port = htons(port);
  }
  return made;
}

int set_name_servers(ares_channel channel, const std::string& name_servers) {
#if ARES_VERSION >= 0x011800
  return ares_set_servers_csv(channel, name_servers.c_str());
#else
  return ares_set_servers_ports_csv(channel, name_servers.c_str());
#endif
}

// One lookup with a channel of its own: so it reads resolv.conf as it is now, and no two threads
// share anything. One thread.
class Lookup {
 public:
  Lookup() = default;
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  // The status of c-ares.
  int begin(const std::string& name_servers, milliseconds first_wait) {
    static const int ready = ares_library_init(ARES_LIB_INIT_ALL);
    if (ready != ARES_SUCCESS) return ready;
    ares_options options{};
    options.timeout = static_cast<int>(first_wait.count());
    options.lookups = kFilesThenDns;
    options.sock_state_cb = on_socket;
    options.sock_state_cb_data = this;
    ares_channel made = nullptr;
    const int status = ares_init_options(
        &made, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) return status;
    channel_.reset(made);
    return name_servers.empty() ? ARES_SUCCESS : set_name_servers(made, name_servers);
  }

  // The status of c-ares; ARES_ECANCELLED at the deadline.
  int run(const std::string& host, Deadline deadline, const Cancellation* cancellation) {
    ares_addrinfo_hints hints{};
    hints.ai_socktype = SOCK_STREAM;
    ares_getaddrinfo(channel_.get(), host.c_str(), nullptr, &hints, on_end, this);
    while (!over_) {
      const bool late = deadline != Deadline::max() && Clock::now() >= deadline;
      if (late || (cancellation != nullptr && cancellation->cancelled())) {
        cut_short_ = true;
        ares_cancel(channel_.get());  // calls on_end, with what has come of the two families
        break;
      }
      step(deadline, cancellation);
    }
    return over_ ? status_ : ARES_ECANCELLED;
  }

  // Whether the deadline or the cancellation ended it.
  bool was_cut_short() const noexcept { return cut_short_; }

  std::vector<SocketAddress> addresses(uint16_t port) const {
    std::vector<SocketAddress> addresses;
    const ares_addrinfo_node* at = found_ ? found_->nodes : nullptr;
    for (; at != nullptr; at = at->ai_next) {
      addresses.push_back(socket_address(at->ai_addr, at->ai_addrlen, port));
    }
    return addresses;
  }

 private:
  static void on_end(void* lookup, int status, int /*timeouts*/, ares_addrinfo* found) {
    auto* const self = static_cast<Lookup*>(lookup);
    self->over_ = true;
    self->status_ = status;
    self->found_.reset(found);
  }

  // One socket too many is not waited for: its question is asked again at another name server.
  static void on_socket(void* lookup, ares_socket_t socket, int readable, int writable) {
    auto* const self = static_cast<Lookup*>(lookup);
    const auto begin = self->sockets_.begin();
    const auto end = begin + static_cast<ptrdiff_t>(self->count_);
    const auto known =
        std::find_if(begin, end, [&](const pollfd& entry) { return entry.fd == socket; });
    const auto events =
        static_cast<short>((readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0));
    if (known != end && events != 0) {
      known->events = events;
    } else if (known != end) {
      *known = *(end - 1);
      --self->count_;
    } else if (events != 0 && self->count_ < kMostSockets) {
      self->sockets_[self->count_++] = {socket, events, 0};
    }
  }

  // Waits for the first of: an answer, a question's own time, the deadline, the cancellation.
  void step(Deadline deadline, const Cancellation* cancellation) {
    // A copy: what c-ares does with one socket changes the list.
    std::array<pollfd, kMostSockets + 1> polled;
    const size_t count = count_;
    std::copy_n(sockets_.begin(), count, polled.begin());
    polled[count] = {cancellation != nullptr ? cancellation->fd() : -1, POLLIN, 0};
    int wait = milliseconds_until(deadline);
    timeval left{};
    if (ares_timeout(channel_.get(), nullptr, &left) != nullptr) {
      const auto until =
          std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec);
      wait =
          static_cast<int>(std::min<int64_t>(wait, std::chrono::ceil<milliseconds>(until).count()));
    }
    if (poll(polled.data(), count + 1, wait) < 0) return;  // EINTR
    for (size_t i = 0; i < count && !over_; ++i) {
      if (polled[i].revents == 0) continue;
      const bool failed = (polled[i].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
      const bool reads = failed || (polled[i].revents & POLLIN) != 0;
      const bool writes = (polled[i].revents & POLLOUT) != 0;
      ares_process_fd(channel_.get(), reads ? polled[i].fd : ARES_SOCKET_BAD,
                      writes ? polled[i].fd : ARES_SOCKET_BAD);
    }
    if (!over_) ares_process_fd(channel_.get(), ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  }

  std::array<pollfd, kMostSockets> sockets_;
  size_t count_ = 0;  // of sockets_
  bool over_ = false;
  bool cut_short_ = false;
  int status_ = ARES_ECANCELLED;
  std::unique_ptr<ares_addrinfo, void (*)(ares_addrinfo*)> found_{nullptr, ares_freeaddrinfo};
  // The last member: its end calls back.
  std::unique_ptr<ares_channeldata, void (*)(ares_channel)> channel_{nullptr, ares_destroy};
};

Deadline last_answer_by(Deadline deadline) {
  if (deadline == Deadline::max()) return deadline;
  const Deadline now = Clock::now();
  return now + (deadline - now) * 3 / 4;
}

milliseconds first_wait(Deadline deadline) {
  if (deadline == Deadline::max()) return kLongestWait;
  const auto part =
      std::chrono::ceil<milliseconds>((deadline - Clock::now()) / kWaitsUntilDeadline);
  return std::clamp(part, milliseconds(1), kLongestWait);
}

std::string no_name_servers(const std::string& text) {
  return "name_servers is no list of addresses with commas between them: " + text;
}

Error error_of(int status) {
  const bool late = status == ARES_ECANCELLED || status == ARES_ETIMEOUT;
  if (late) return {ErrorKind::Timeout, "no name server answered in time"};
  return {ErrorKind::Unreachable, ares_strerror(status)};
}

}  // namespace

std::string SocketAddress::text() const {
  char text[NI_MAXHOST] = "";
  getnameinfo(get(), bytes, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  return text;
}

Result<HostAddresses> look_up(const std::string& host, uint16_t port,
                              const std::string& name_servers, Deadline deadline,
                              const Cancellation* cancellation) {
  Result<std::vector<SocketAddress>> in_digits = addresses_in_digits(host, port);
  if (!in_digits) return in_digits.error();
  if (!in_digits->empty()) return HostAddresses{std::move(*in_digits)};
  Lookup lookup;
  const int begun = lookup.begin(name_servers, first_wait(deadline));
  check_memory(begun);
  if (begun == ARES_EBADSTR) return Error{ErrorKind::BadRequest, no_name_servers(name_servers)};
  if (begun != ARES_SUCCESS) return error_of(begun);
  const int status = lookup.run(host, last_answer_by(deadline), cancellation);
  check_memory(status);
  if (status != ARES_SUCCESS) return error_of(status);
  std::vector<SocketAddress> addresses = lookup.addresses(port);
  if (addresses.empty()) return error_of(ARES_ENODATA);
  return HostAddresses{std::move(addresses), !lookup.was_cut_short()};
}

Result<std::vector<SocketAddress>> addresses_in_digits(const std::string& host, uint16_t port) {
  // It knows the zones of IPv6 and the short forms of IPv4, which c-ares does not.
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  if (failed == EAI_MEMORY) throw std::bad_alloc();
  if (failed != 0 && host.find(':') == host.npos) return std::vector<SocketAddress>();
  if (failed != 0) return Error{ErrorKind::Unreachable, gai_strerror(failed)};
  std::vector<SocketAddress> addresses;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    addresses.push_back(socket_address(at->ai_addr, at->ai_addrlen, port));
  }
  return addresses;
}

std::string fault_of_name_servers(const std::string& name_servers) {
  if (name_servers.empty()) return {};
  Lookup unused;
  const int status = unused.begin(name_servers, kLongestWait);
  check_memory(status);
  return status == ARES_EBADSTR ? no_name_servers(name_servers) : std::string();
}

}  // namespace larder::client
