// Transport: bytes to and from one server, over TCP or a Unix socket, without waiting.
#pragma once

#include <sys/uio.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "tools/client/cancellation.h"
#include "tools/client/deadline.h"
#include "tools/client/descriptor.h"
#include "tools/client/result.h"

namespace larder::client {

struct Endpoint;

// One thread at a time. Once it is Closed or Broken it stays so.
class Transport {
 public:
  enum class Status : uint8_t {
    Moved,   // `bytes`, which is more than 0
    Again,   // nothing goes without waiting
    Closed,  // the server has closed, in good order
    Broken,  // why() says how
  };
  struct Moved {
    Status status;
    size_t bytes;
  };

  virtual ~Transport() = default;

  // pieces  none of them empty; at least one. What was sent is the first `bytes` of them. After
  //         Again the next call offers the same bytes again, from wherever they lie by then.
  virtual Moved send(std::span<const iovec> pieces) = 0;
  // into  as above; filled in order. `bytes` below their sum: there is likely no more for now.
  virtual Moved receive(std::span<const iovec> into) = 0;
  // Likewise, but waits for the first byte; Again at the deadline.
  virtual Moved receive_by(std::span<const iovec> into, Deadline deadline);
  // Whether bytes have been taken from the socket that receive() has not given out yet: poll()
  // knows nothing of those.
  virtual bool holds_input() const noexcept = 0;
  // Whether the server has closed, or has said what receive() would give out.
  virtual bool is_readable() = 0;

  virtual std::string why() const = 0;
  // Whether it is Broken because the server does not want this client.
  virtual bool is_denial() const noexcept { return false; }
  virtual int fd() const noexcept = 0;
  // Gives the socket away and says no goodbye on it. Afterwards the transport may only be
  // destroyed.
  virtual Descriptor release() noexcept = 0;
};

// Waits until the descriptor is ready for `what` (POLLIN, POLLOUT). False: the deadline has passed,
// which Deadline::max() never does, or the wait was cancelled; null: nobody cancels.
bool wait_until_ready(int fd, short what, Deadline deadline,
                      const Cancellation* cancellation = nullptr);

// A socket that is connected and never waits.
struct Connected {
  Descriptor socket;
  std::string address;  // of the server, without its port; of a Unix socket the path
};

// Looks the host up (name_lookup.h) and tries all its addresses, `preferred` first if it is one of
// them. Timeout at the deadline or when cancelled, and if the lookup has found a part of the
// addresses in time, of which `preferred` is none.
//
// name_servers  ConnectionOptions::name_servers
Result<Connected> connect_to(const Endpoint& endpoint, const std::string& name_servers,
                             Deadline deadline, std::string_view preferred = {},
                             const Cancellation* cancellation = nullptr);

// A connect to one address that is under way. One thread at a time.
class Connecting {
 public:
  // Begins it where that needs no lookup of a name: the host is an address in digits, or a path.
  // Else nothing.
  static std::optional<Connecting> begin(const Endpoint& endpoint);

  // For poll() with POLLOUT; -1: it is over already.
  int fd() const noexcept { return error_ == kUnderWay ? socket_.get() : -1; }
  // It is over, since the process or its machine lacks something, such as a descriptor.
  bool is_local_failure() const noexcept;
  // Once. Timeout if it is under way still.
  Result<Connected> end();

 private:
  static constexpr int kUnderWay = -1;

  Connecting(std::string name, std::string address) noexcept
      : name_(std::move(name)), address_(std::move(address)) {}

  std::string name_;     // for messages
  std::string address_;  // Connected::address
  Descriptor socket_;
  int error_ = kUnderWay;  // else an errno, or 0
};

// Without TLS.
std::unique_ptr<Transport> plain_transport(Descriptor socket);

}  // namespace larder::client
