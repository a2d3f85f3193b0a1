// SaslAuthenticator: the binary opcodes 0x20 to 0x22 (memcached's wiki, "SASL Authentication
// Protocol"): mechanisms are listed, an exchange is started and goes on in steps.
//
// Before it is admitted a client may do that and ask for the version; anything else is answered
// with status 0x20, and the connection closed. An admitted one that authenticates again is outside
// from the beginning of the attempt to its success.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "daemon/authenticator.h"
#include "daemon/sasl_clerk.h"
#include "daemon/stats.h"
#include "proto/command.h"

namespace larder::daemon {

// As in memcached: a longer name of a mechanism is answered with status 0x04, and the stream goes
// on.
constexpr size_t kMaxMechanismBytes = 32;

class SaslAuthenticator final : public Authenticator {
 public:
  // answered  called on another thread when take() has said Wait and may be called again
  SaslAuthenticator(SaslClerk& clerk, WorkerStats& stats, bool admitted,
                    std::function<void()> answered)
      : clerk_(clerk), stats_(stats), answered_(std::move(answered)), admitted_(admitted) {}
  ~SaslAuthenticator() override {
    if (job_ != nullptr) job_->forget();
  }

  Progress take(std::span<const char> input, proto::ReplyBuffer& out) override;
  bool waits() const noexcept override { return job_ != nullptr && !job_->done(); }

 private:
  // The first request of the input, which is not empty. GoOn: it is answered.
  Progress take_one(std::string_view input, proto::ReplyBuffer& out);
  // Likewise, of an opcode that begins an exchange or goes on with it, in good shape.
  Progress take_exchange(proto::Command& command, std::string_view input, proto::ReplyBuffer& out);
  void list(const proto::Command& command, proto::ReplyBuffer& out);
  // Hands the question over to the clerk.
  void ask(SaslJob::What what, const proto::Command& command, std::string_view mechanism,
           std::string_view response);
  // The question has been answered, and so is the client. True if he is in.
  bool finish(proto::ReplyBuffer& out);

  SaslClerk& clerk_;
  WorkerStats& stats_;
  const std::function<void()> answered_;
  std::unique_ptr<SaslExchange> exchange_;
  std::shared_ptr<SaslJob> job_;  // what is asked now; null: nothing
  proto::Command asked_;          // by the client; of its views only `opaque` is kept
  std::array<char, 4> opaque_{};
  uint64_t skip_bytes_ = 0;  // of a body that nobody wants
  bool admitted_;            // so far
};

}  // namespace larder::daemon
