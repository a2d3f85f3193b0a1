// FleetOptions: the options by which every subcommand that asks servers is told which, and how.
#pragma once

#include <string>

#include "tools/client/ring_kind.h"
#include "tools/larder/fleet.h"

namespace CLI {
class App;
}

namespace larder::operate {

class FleetOptions {
 public:
  // --servers, and what add_common_to() adds. It must live until the command line was parsed.
  void add_to(CLI::App& command);
  // All but --servers and --dialect.
  void add_common_to(CLI::App& command);
  // --dialect: of those that need no text command.
  void add_dialect_to(CLI::App& command);

  bool json() const noexcept { return json_; }

  // The nodes that were named. Nothing is asked yet. Throws CLI::ValidationError.
  Fleet fleet() const { return fleet_of("--servers", servers_); }
  // Those of another option's list.
  Fleet fleet_of(const std::string& option, const std::string& servers) const;

 private:
  std::string servers_ = "127.0.0.1:11211";
  std::string ring_ = std::string(client::name_of(client::kDefaultRing));
  double timeout_seconds_ = 5;
  bool json_ = false;
  std::string dialect_ = "meta";
  bool no_verify_ = false;
  bool tls_ = false;
  client::TlsSettings tls_settings_;
  std::string user_;
  std::string password_file_;

  std::string password() const;
};

}  // namespace larder::operate
