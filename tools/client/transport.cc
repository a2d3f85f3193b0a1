#include "tools/client/transport.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <iterator>
#include <system_error>
#include <utility>
#include <vector>

#include "tools/client/connection.h"
#include "tools/client/local_error.h"
#include "tools/client/name_lookup.h"

namespace larder::client {
namespace {

using Clock = std::chrono::steady_clock;

std::string error_text(int error) { return std::generic_category().message(error); }

Error unreachable(const std::string& name, int error) {
  return {ErrorKind::Unreachable, "cannot connect to " + name + ": " + error_text(error),
          is_local_error(error)};
}

Error too_late(const std::string& name) {
  return {ErrorKind::Timeout, "cannot connect to " + name + " in time"};
}

// A resolver that gets no descriptor says that no name server answers.
bool lacks_descriptors() {
  const Descriptor any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return any.get() < 0 && is_local_error(errno);
}

template <class Call>
ssize_t uninterrupted(Call call) {
  ssize_t n;
  do {
    n = call();
  } while (n < 0 && errno == EINTR);
  return n;
}

// For one address: a socket, or the errno that there is instead.
struct Attempt {
  Descriptor socket;
  int error;
};

// EINPROGRESS, with a socket, while it is under way.
Attempt begin_attempt(int family, const sockaddr* address, socklen_t bytes) {
  Descriptor made(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (made.get() < 0) return {Descriptor(), errno};
  if (family != AF_UNIX) {
    const int on = 1;
    setsockopt(made.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (::connect(made.get(), address, bytes) == 0) return {std::move(made), 0};
  // A Unix socket whose queue is full says EAGAIN: its server does not take connections.
  if (errno != EINPROGRESS && errno != EINTR) return {Descriptor(), errno};
  return {std::move(made), EINPROGRESS};
}

// Of a connect that poll() says is over: its errno, or 0.
int outcome_of(int socket) {
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

// ETIMEDOUT at the deadline or when cancelled.
Attempt attempt(int family, const sockaddr* address, socklen_t bytes, Deadline deadline,
                const Cancellation* cancellation) {
  Attempt made = begin_attempt(family, address, bytes);
  if (made.error != EINPROGRESS) return made;
  const bool is_over = wait_until_ready(made.socket.get(), POLLOUT, deadline, cancellation);
  made.error = is_over ? outcome_of(made.socket.get()) : ETIMEDOUT;
  return made;
}

// False if the path is too long.
bool fill_in(sockaddr_un& address, const std::string& path) {
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  return true;
}

Result<Connected> connect_to_path(const Endpoint& endpoint, Deadline deadline,
                                  const Cancellation* cancellation) {
  sockaddr_un address{};
  if (!fill_in(address, endpoint.path)) {
    return Error{ErrorKind::BadRequest, "the path of a Unix socket is too long: " + endpoint.path};
  }
  Attempt made = attempt(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address,
                         deadline, cancellation);
  if (made.error != 0) return unreachable(endpoint.text(), made.error);
  return Connected{std::move(made.socket), endpoint.path};
}

Result<Connected> connect_to_host(const Endpoint& endpoint, const std::string& name_servers,
                                  Deadline deadline, std::string_view preferred,
                                  const Cancellation* cancellation) {
  Result<HostAddresses> found =
      look_up(endpoint.host, endpoint.port, name_servers, deadline, cancellation);
  if (!found) {
    return Error{found.error().kind,
                 "cannot find the address of " + endpoint.text() + ": " + found.error().text,
                 lacks_descriptors()};
  }
  std::vector<SocketAddress>& addresses = found->list;
  std::stable_partition(addresses.begin(), addresses.end(), [&](const SocketAddress& address) {
    return !preferred.empty() && address.text() == preferred;
  });
  // The preferred one may be among those that have not come. Connected elsewhere, a pool would take
  // its server for another one and flush it.
  if (!found->complete && !preferred.empty() && addresses.front().text() != preferred) {
    return Error{ErrorKind::Timeout,
                 "cannot find all addresses of " + endpoint.text() + " in time"};
  }
  auto left = static_cast<int64_t>(addresses.size());
  std::optional<int> error;
  for (const SocketAddress& address : addresses) {
    const Deadline now = Clock::now();
    const bool cancelled = cancellation != nullptr && cancellation->cancelled();
    if (now >= deadline || cancelled) return too_late(endpoint.text());
    // Each address has its share of the time: the first may be one that nobody answers at.
    const Deadline until =
        deadline == Deadline::max() || left == 1 ? deadline : now + (deadline - now) / left;
    --left;
    Attempt made = attempt(address.family(), address.get(), address.bytes, until, cancellation);
    if (made.error == 0) return Connected{std::move(made.socket), address.text()};
    // A server's own failure counts, also where this machine cannot use another of its addresses,
    // as that of IPv6 where it has none itself.
    if (!error || is_local_error(*error)) error = made.error;
  }
  if (!error || *error == ETIMEDOUT) return too_late(endpoint.text());
  return unreachable(endpoint.text(), *error);
}

// The descriptor waits only where it is told to: a receive for which the answer comes costs one
// call, and no poll before it. The kernel ends such a wait up to an eighth too late (the
// granularity of its timer wheel: 24 ms of 1 s), so it is shorter than the time that is left, and
// poll(), which is exact, waits for the rest.
class PlainTransport : public Transport {
 public:
  explicit PlainTransport(Descriptor socket) : socket_(std::move(socket)) {
    const int flags = fcntl(fd(), F_GETFL);
    if (flags >= 0) fcntl(fd(), F_SETFL, flags & ~O_NONBLOCK);
  }

  Moved send(std::span<const iovec> pieces) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = std::min<size_t>(pieces.size(), IOV_MAX);
    return moved(
        uninterrupted([&] { return sendmsg(fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT); }));
  }

  Moved receive(std::span<const iovec> into) override {
    return received(uninterrupted([&] { return receive_message(into, MSG_DONTWAIT); }));
  }

  Moved receive_by(std::span<const iovec> into, Deadline deadline) override {
    if (!set_patience(deadline)) return receive(into);
    const Moved moved = received(receive_message(into, 0));
    // EINTR too is Again.
    if (moved.status != Status::Again || !wait_until_ready(fd(), POLLIN, deadline)) return moved;
    return receive(into);
  }

  bool holds_input() const noexcept override { return false; }

  bool is_readable() override {
    char byte;
    const ssize_t n = uninterrupted([&] { return recv(fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT); });
    return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
  }

  std::string why() const override { return error_text(error_); }
  int fd() const noexcept override { return socket_.get(); }
  Descriptor release() noexcept override { return std::move(socket_); }

 private:
  ssize_t receive_message(std::span<const iovec> into, int flags) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(into.data());
    message.msg_iovlen = into.size();
    return recvmsg(fd(), &message, flags);
  }

  // Makes the socket wait for three eighths to three quarters of the time until then.
  bool set_patience(Deadline deadline) {
    const auto wanted =
        deadline == Deadline::max()
            ? std::chrono::microseconds(kForever)
            : std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now());
    if (wanted <= wanted.zero()) return false;
    // 0 would be forever.
    const auto most = std::max(wanted * 3 / 4, std::chrono::microseconds(1));
    if (patience_ >= most / 2 && patience_ <= most && patience_ > patience_.zero()) return true;
    const timeval time = {most.count() / 1'000'000, most.count() % 1'000'000};
    if (setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) != 0) return false;
    patience_ = most;
    return true;
  }

  Moved received(ssize_t n) {
    if (n == 0) return {Status::Closed, 0};
    return moved(n);
  }

  Moved moved(ssize_t n) {
    if (n > 0) return {Status::Moved, static_cast<size_t>(n)};
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {Status::Again, 0};
    error_ = errno;
    return {Status::Broken, 0};
  }

  static constexpr std::chrono::hours kForever{24};

  Descriptor socket_;
  int error_ = 0;
  std::chrono::microseconds patience_{0};  // SO_RCVTIMEO
};

}  // namespace

Transport::Moved Transport::receive_by(std::span<const iovec> into, Deadline deadline) {
  const Moved moved = receive(into);
  if (moved.status != Status::Again || !wait_until_ready(fd(), POLLIN, deadline)) return moved;
  return receive(into);
}

bool wait_until_ready(int fd, short what, Deadline deadline, const Cancellation* cancellation) {
  for (;;) {
    if (cancellation != nullptr && cancellation->cancelled()) return false;
    int wait = -1;
    if (deadline != Deadline::max()) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
      wait = static_cast<int>(std::clamp<int64_t>(left, 0, INT_MAX));
    }
    pollfd entries[] = {{fd, what, 0},
                        {cancellation != nullptr ? cancellation->fd() : -1, POLLIN, 0}};
    const int ready = ::poll(entries, std::size(entries), wait);
    if (ready > 0 && entries[0].revents != 0) return true;
    if (ready < 0 && errno != EINTR) return true;  // what comes next says what is wrong
    if (deadline != Deadline::max() && Clock::now() >= deadline) return false;
  }
}

Result<Connected> connect_to(const Endpoint& endpoint, const std::string& name_servers,
                             Deadline deadline, std::string_view preferred,
                             const Cancellation* cancellation) {
  return endpoint.host.empty()
             ? connect_to_path(endpoint, deadline, cancellation)
             : connect_to_host(endpoint, name_servers, deadline, preferred, cancellation);
}

std::optional<Connecting> Connecting::begin(const Endpoint& endpoint) {
  Attempt made{Descriptor(), 0};
  std::string address_text = endpoint.path;
  if (endpoint.host.empty()) {
    sockaddr_un address{};
    if (!fill_in(address, endpoint.path)) return std::nullopt;
    made = begin_attempt(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } else {
    const auto addresses = addresses_in_digits(endpoint.host, endpoint.port);
    if (!addresses || addresses->size() != 1) return std::nullopt;
    const SocketAddress& address = addresses->front();
    address_text = address.text();
    made = begin_attempt(address.family(), address.get(), address.bytes);
  }
  Connecting begun(endpoint.text(), std::move(address_text));
  begun.socket_ = std::move(made.socket);
  begun.error_ = made.error == EINPROGRESS ? kUnderWay : made.error;
  return begun;
}

bool Connecting::is_local_failure() const noexcept {
  return error_ != kUnderWay && is_local_error(error_);
}

Result<Connected> Connecting::end() {
  if (error_ == kUnderWay) {
    if (!wait_until_ready(socket_.get(), POLLOUT, Deadline())) return too_late(name_);
    error_ = outcome_of(socket_.get());
  }
  if (error_ == ETIMEDOUT) return too_late(name_);
  if (error_ != 0) return unreachable(name_, error_);
  return Connected{std::move(socket_), std::move(address_)};
}

std::unique_ptr<Transport> plain_transport(Descriptor socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

}  // namespace larder::client
