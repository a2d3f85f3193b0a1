// SaslAuthenticator: the binary opcodes 0x20 to 0x22 (memcached's wiki, "SASL Authentication
// Protocol"): mechanisms are listed, an exchange is started and goes on in steps.
//
// Before it is admitted a client may do that and ask for the version; anything else is answered
// with status 0x20, and the connection closed. An admitted one that authenticates again is outside
// from the beginning of the attempt to its success.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "daemon/authenticator.h"
#include "daemon/sasl.h"
#include "daemon/stats.h"
#include "proto/command.h"

namespace larder::daemon {

// As in memcached: a longer name of a mechanism is answered with status 0x04, and the stream goes
// on.
constexpr size_t kMaxMechanismBytes = 32;

class SaslAuthenticator final : public Authenticator {
 public:
  SaslAuthenticator(const Sasl& sasl, WorkerStats& stats, bool admitted)
      : sasl_(sasl), stats_(stats), admitted_(admitted) {}

  Progress take(std::span<const char> input, proto::ReplyBuffer& out) override;

 private:
  // The first request of the input, which is not empty. GoOn: it is answered.
  Progress take_one(std::string_view input, proto::ReplyBuffer& out);
  // Likewise, of an opcode that begins an exchange or goes on with it, in good shape.
  Progress take_exchange(proto::Command& command, std::string_view input, proto::ReplyBuffer& out);
  void list(const proto::Command& command, proto::ReplyBuffer& out);
  // True if the client is in.
  bool attempt(const proto::Command& command, std::string_view mechanism, std::string_view response,
               proto::ReplyBuffer& out);
  bool ready();

  const Sasl& sasl_;
  WorkerStats& stats_;
  std::unique_ptr<SaslExchange> exchange_;
  uint64_t skip_bytes_ = 0;  // of a body that nobody wants
  bool admitted_;            // so far
};

}  // namespace larder::daemon
