// Authority: who may come in. Nobody is asked, or each client has to name a user and a password of
// the auth file (-Y), or to convince SASL (-S).
//
// Owned by the server and made before its workers. Workers ask it for an Authenticator for each
// connection; reload() comes from the server's thread meanwhile.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/mutex.h"
#include "daemon/authenticator.h"
#include "daemon/credentials.h"
#include "daemon/sasl_clerk.h"
#include "daemon/settings.h"
#include "daemon/stats.h"

namespace larder::daemon {

class Authority {
 public:
  // Reads the auth file, sets up SASL; throws SettingsError.
  explicit Authority(const Settings& settings);

  // Whether connections begin outside. Constant.
  bool asks() const noexcept { return asks_; }
  bool uses_sasl() const noexcept { return sasl_ != nullptr; }

  // For one connection of a worker with these counters; only if asks(). `admitted`: it has been
  // inside and comes with credentials again. `answered` is called on another thread when an
  // authenticator that has said Wait may be called again.
  std::unique_ptr<Authenticator> authenticator(WorkerStats& stats, bool admitted,
                                               std::function<void()> answered) const;

  // -- -Y, any thread.
  bool allow(std::string_view user, std::string_view password) const;
  // Reads the file again: for those who come from now on. If it cannot be used the log says so, and
  // what was read last stays in force. Nothing to do without -Y.
  void reload();

 private:
  const bool asks_;
  const std::string auth_file_;
  std::unique_ptr<Sasl> sasl_;
  std::unique_ptr<SaslClerk> clerk_;  // with SASL
  mutable core::Mutex mutex_;
  std::shared_ptr<const Credentials> credentials_ GUARDED_BY(mutex_);
};

}  // namespace larder::daemon
