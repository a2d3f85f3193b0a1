#include "daemon/authority.h"

#include "daemon/log.h"
#include "daemon/sasl_authenticator.h"
#include "daemon/text_authenticator.h"

namespace larder::daemon {
namespace {

std::shared_ptr<const Credentials> read_auth_file(const std::string& path) {
  return std::make_shared<const Credentials>(Credentials::read(path, Credentials::Form::AuthFile));
}

}  // namespace

Authority::Authority(const Settings& settings)
    : asks_(settings.sasl || !settings.auth_file.empty()), auth_file_(settings.auth_file) {
  if (auth_file_.empty()) {
    if (settings.sasl) {
      sasl_ = std::make_unique<Sasl>();
      clerk_ = std::make_unique<SaslClerk>(*sasl_);
    }
    return;
  }
  try {
    core::MutexLock lock(mutex_);
    credentials_ = read_auth_file(auth_file_);
  } catch (const CredentialsError& error) {
    throw SettingsError(ExitCode::Failure, std::string("option -Y: ") + error.what());
  }
}

std::unique_ptr<Authenticator> Authority::authenticator(WorkerStats& stats, bool admitted,
                                                        std::function<void()> answered) const {
  if (clerk_ != nullptr) {
    return std::make_unique<SaslAuthenticator>(*clerk_, stats, admitted, std::move(answered));
  }
  return std::make_unique<TextAuthenticator>(*this, stats);
}

bool Authority::allow(std::string_view user, std::string_view password) const {
  std::shared_ptr<const Credentials> credentials;
  {
    core::MutexLock lock(mutex_);
    credentials = credentials_;
  }
  return credentials != nullptr && credentials->allow(user, password);
}

void Authority::reload() {
  if (auth_file_.empty()) return;
  std::shared_ptr<const Credentials> fresh;
  try {
    fresh = read_auth_file(auth_file_);
  } catch (const std::exception& error) {
    log(LogLevel::Warning, std::string("option -Y: ") + error.what() +
                               "; the users and passwords read before stay in force");
    return;
  }
  log(LogLevel::Info, "option -Y: " + std::to_string(fresh->size()) + " users and passwords read");
  core::MutexLock lock(mutex_);
  credentials_.swap(fresh);  // the old ones go after the lock
}

}  // namespace larder::daemon
