// TextAuthenticator: a user and a password in the place of a value (memcached's doc/protocol.txt,
// "Authentication"), by classic or meta set, whatever the key:
//
//   set <key> <flags> <exptime> <bytes>\r\n<user> <password>\r\n  -> STORED
//   ms <key> <bytes> [flags]\r\n<user> <password>\r\n              -> HD [flags]
//
// Keeps nothing between calls: half a request is looked at again when more of it is here.
#pragma once

#include <string_view>

#include "daemon/authenticator.h"
#include "daemon/stats.h"

namespace larder::daemon {

class Authority;

class TextAuthenticator final : public Authenticator {
 public:
  TextAuthenticator(const Authority& authority, WorkerStats& stats)
      : authority_(authority), stats_(stats) {}

  Progress take(std::span<const char> input, proto::ReplyBuffer& out) override;

 private:
  // The first request of the input, which is not empty. GoOn: it is answered.
  Progress take_one(std::string_view input, proto::ReplyBuffer& out);
  bool check(std::string_view token);

  const Authority& authority_;
  WorkerStats& stats_;
};

}  // namespace larder::daemon
