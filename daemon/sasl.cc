#include "daemon/sasl.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "daemon/credentials.h"
#include "daemon/log.h"
#include "daemon/settings.h"

namespace larder::daemon {
namespace {

constexpr const char* kApplication = "memcached";

LogSite library_site, password_base_site;

// -- What the library calls. It takes functions of any type and knows by the id what they are.

using AnyCallback = int (*)();

template <class Function>
AnyCallback any_callback(Function* function) {
  return reinterpret_cast<AnyCallback>(reinterpret_cast<void (*)()>(function));
}

int on_log(void*, int level, const char* message) {
  // What is more talkative than this may hold passwords.
  if (level == SASL_LOG_NONE || level > SASL_LOG_DEBUG || message == nullptr) return SASL_OK;
  LogLevel as = LogLevel::Debug;
  if (level == SASL_LOG_ERR) as = LogLevel::Warning;
  if (level == SASL_LOG_FAIL || level == SASL_LOG_WARN) as = LogLevel::Info;
  if (!log_enabled(as)) return SASL_OK;
  std::string sentence = std::string("SASL: ") + message;
  std::replace_if(
      sentence.begin(), sentence.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; },
      ' ');
  log(as, library_site, sentence);
  return SASL_OK;
}

int on_check_password(sasl_conn_t*, void* path, const char* user, const char* password,
                      unsigned password_bytes, propctx*) {
  try {
    const auto users =
        Credentials::read(*static_cast<const std::string*>(path), Credentials::Form::PasswordBase);
    if (users.allow(user, {password, password_bytes})) return SASL_OK;
  } catch (const std::exception& error) {
    log(LogLevel::Info, password_base_site, std::string("MEMCACHED_SASL_PWDB: ") + error.what());
  }
  return SASL_NOAUTHZ;
}

// The library locks nothing unless it is told how.
void* make_mutex() { return new (std::nothrow) std::mutex; }
int lock_mutex(void* mutex) {
  static_cast<std::mutex*>(mutex)->lock();
  return SASL_OK;
}
int unlock_mutex(void* mutex) {
  static_cast<std::mutex*>(mutex)->unlock();
  return SASL_OK;
}
void free_mutex(void* mutex) { delete static_cast<std::mutex*>(mutex); }

std::string host_name() {
  char name[1025] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "";
}

}  // namespace

Sasl::Sasl() : realm_(host_name()) {
  const char* const base = std::getenv("MEMCACHED_SASL_PWDB");
  if (base != nullptr) password_base_ = base;
  const sasl_callback_t end = {SASL_CB_LIST_END, nullptr, nullptr};
  callbacks_ = {sasl_callback_t{SASL_CB_LOG, any_callback(on_log), nullptr}, end, end};
  if (!password_base_.empty()) {
    callbacks_[1] = {SASL_CB_SERVER_USERDB_CHECKPASS, any_callback(on_check_password),
                     &password_base_};
  }
  sasl_set_mutex(make_mutex, lock_mutex, unlock_mutex, free_mutex);
  const int result = sasl_server_init(callbacks_.data(), kApplication);
  if (result != SASL_OK) {
    throw SettingsError(ExitCode::Failure, std::string("option -S: SASL cannot be set up: ") +
                                               sasl_errstring(result, nullptr, nullptr));
  }
}

Sasl::~Sasl() { sasl_server_done(); }

SaslExchange::Handle SaslExchange::make_handle(const Sasl& sasl) {
  sasl_conn_t* conn = nullptr;
  const char* const realm = sasl.realm().empty() ? nullptr : sasl.realm().c_str();
  if (sasl_server_new(kApplication, nullptr, realm, nullptr, nullptr, nullptr, 0, &conn) !=
      SASL_OK) {
    return nullptr;
  }
  return Handle(conn);
}

std::unique_ptr<SaslExchange> SaslExchange::make(const Sasl& sasl) {
  Handle conn = make_handle(sasl);
  if (conn == nullptr) return nullptr;
  return std::unique_ptr<SaslExchange>(new SaslExchange(sasl, std::move(conn)));
}

bool SaslExchange::list_mechanisms(std::string_view& names) {
  const char* text = nullptr;
  unsigned bytes = 0;
  if (sasl_listmech(conn_.get(), nullptr, "", " ", "", &text, &bytes, nullptr) != SASL_OK) {
    return false;
  }
  names = {text, bytes};
  return true;
}

SaslExchange::Result SaslExchange::start(const std::string& mechanism, std::string_view response) {
  // A handle that has come to an end cannot be used for another attempt.
  if (std::exchange(used_, true)) conn_ = make_handle(sasl_);
  started_ = false;
  if (conn_ == nullptr) return {Status::Failed, {}};
  const char* challenge = nullptr;
  unsigned bytes = 0;
  const int result = sasl_server_start(conn_.get(), mechanism.c_str(),
                                       response.empty() ? nullptr : response.data(),
                                       static_cast<unsigned>(response.size()), &challenge, &bytes);
  return settle(result, challenge, bytes);
}

SaslExchange::Result SaslExchange::step(std::string_view response) {
  if (!started_) return {Status::Failed, {}};
  const char* challenge = nullptr;
  unsigned bytes = 0;
  const int result = sasl_server_step(conn_.get(), response.empty() ? nullptr : response.data(),
                                      static_cast<unsigned>(response.size()), &challenge, &bytes);
  return settle(result, challenge, bytes);
}

SaslExchange::Result SaslExchange::settle(int result, const char* challenge, unsigned bytes) {
  started_ = result == SASL_CONTINUE;
  if (result == SASL_OK) return {Status::Done, {}};
  if (result == SASL_CONTINUE) return {Status::Continue, {challenge, bytes}};
  return {Status::Failed, {}};
}

}  // namespace larder::daemon
