#include "tools/larder/fleet_options.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "tools/larder/ring_option.h"

namespace larder::operate {
namespace {

constexpr char kPasswordVariable[] = "LARDER_PASSWORD";

constexpr std::pair<const char*, client::Dialect> kDialects[] = {
    {"classic", client::Dialect::Classic},
    {"meta", client::Dialect::Meta},
    {"binary", client::Dialect::Binary}};

client::Dialect dialect_of(const std::string& name) {
  for (const auto& [known, dialect] : kDialects) {
    if (name == known) return dialect;
  }
  throw CLI::ValidationError("--dialect", "'" + name + "' is none of classic, meta and binary");
}

}  // namespace

void FleetOptions::add_to(CLI::App& command) {
  command
      .add_option("--servers", servers_,
                  "HOST:PORT[:WEIGHT] or /SOCKET of all, in their order, with commas between them; "
                  "@FILE has one a line, and comments behind # (" +
                      servers_ + ")")
      ->type_name("LIST");
  add_common_to(command);
}

void FleetOptions::add_common_to(CLI::App& command) {
  command.add_flag("--json", json_, "print JSON");
  command
      .add_option("--ring", ring_,
                  "how keys find their server (" + ring_ + "); ring --list shows them all")
      ->type_name("NAME");
  command
      .add_option("--timeout", timeout_seconds_,
                  "for each step: a connection, an answer, the next of many (5)")
      ->check(CLI::Range(0.001, 86400.0))
      ->type_name("SECONDS");
  command.add_flag("--tls", tls_, "talk TLS");
  command
      .add_option("--tls-ca", tls_settings_.ca_file, "certificates to trust, in PEM (the system's)")
      ->type_name("FILE");
  command.add_option("--tls-cert", tls_settings_.certificate_file, "our own certificate, in PEM")
      ->type_name("FILE");
  command.add_option("--tls-key", tls_settings_.key_file, "its key, in PEM")->type_name("FILE");
  command.add_flag("--tls-no-verify", no_verify_, "take any certificate of a server");
  command
      .add_option("--user", user_,
                  std::string("log in, with the password of --password-file or of the variable ") +
                      kPasswordVariable)
      ->type_name("NAME");
  command
      .add_option("--password-file", password_file_, "whose first line is the password of --user")
      ->type_name("FILE");
}

void FleetOptions::add_dialect_to(CLI::App& command) {
  command.add_option("--dialect", dialect_, "classic, meta or binary (meta)")->type_name("NAME");
}

std::string FleetOptions::password() const {
  std::string password;
  if (!password_file_.empty()) {
    std::ifstream file(password_file_);
    if (!file || !std::getline(file, password)) {
      throw CLI::ValidationError("--password-file",
                                 "'" + password_file_ + "' cannot be read, or is empty");
    }
    if (password.ends_with('\r')) password.pop_back();
    return password;
  }
  if (const char* const given = std::getenv(kPasswordVariable)) return given;
  throw CLI::ValidationError(
      "--user", std::string("needs --password-file or the variable ") + kPasswordVariable);
}

Fleet FleetOptions::fleet_of(const std::string& option, const std::string& servers) const {
  FleetSettings settings;
  settings.timeout = std::chrono::milliseconds(static_cast<int64_t>(timeout_seconds_ * 1000));
  settings.connection.dialect = dialect_of(dialect_);
  settings.connection.tls = tls_settings_;
  settings.connection.tls.enabled = tls_;
  settings.connection.tls.verify = !no_verify_;
  const bool any_tls = no_verify_ || !tls_settings_.ca_file.empty() ||
                       !tls_settings_.certificate_file.empty() || !tls_settings_.key_file.empty();
  if (any_tls && !tls_) throw CLI::ValidationError("--tls", "is needed by the other --tls options");
  if (tls_settings_.certificate_file.empty() != tls_settings_.key_file.empty()) {
    throw CLI::ValidationError("--tls-cert", "and --tls-key need each other");
  }
  if (!user_.empty()) {
    settings.connection.user = user_;
    settings.connection.password = password();
  } else if (!password_file_.empty()) {
    throw CLI::ValidationError("--password-file", "needs --user");
  }
  return Fleet(ring_of_list(option, ring_, servers), std::move(settings));
}

}  // namespace larder::operate
