#include "tools/larder/fleet_options.h"

#include <CLI/CLI.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>

using namespace larder;
using namespace larder::operate;

namespace {

// What a subcommand with these words would ask; a refusal comes out as CLI::ValidationError.
Fleet fleet_of(const std::string& words) {
  CLI::App app;
  FleetOptions options;
  options.add_to(app);
  options.add_dialect_to(app);
  app.parse(words);
  return options.fleet();
}

}  // namespace

TEST_CASE("without options it is the server on this host, in meta, for five seconds") {
  const Fleet fleet = fleet_of("");
  REQUIRE(fleet.size() == 1);
  CHECK(fleet.name_of(0) == "127.0.0.1:11211");
  CHECK(fleet.settings().timeout == std::chrono::seconds(5));
  CHECK(fleet.settings().connection.dialect == client::Dialect::Meta);
  CHECK_FALSE(fleet.settings().connection.tls.enabled);
  CHECK(fleet.settings().connection.user.empty());
}

TEST_CASE("options say which servers, and how they are asked") {
  const Fleet fleet = fleet_of(
      "--servers a:1:2,/run/b --ring libmemcached-ketama-weighted --timeout 0.25 --dialect binary "
      "--tls --tls-ca ca --tls-cert c --tls-key k --tls-no-verify");
  REQUIRE(fleet.size() == 2);
  CHECK(fleet.name_of(1) == "/run/b");
  CHECK(fleet.ring().kind() == client::RingKind::LibmemcachedKetamaWeighted);
  CHECK(fleet.settings().timeout == std::chrono::milliseconds(250));
  const client::ConnectionOptions& connection = fleet.settings().connection;
  CHECK(connection.dialect == client::Dialect::Binary);
  CHECK(connection.tls.enabled);
  CHECK_FALSE(connection.tls.verify);
  CHECK(connection.tls.ca_file == "ca");
  CHECK(connection.tls.certificate_file == "c");
  CHECK(connection.tls.key_file == "k");
}

TEST_CASE("the password comes from the environment where no file is named") {
  setenv("LARDER_PASSWORD", "secret", 1);
  const Fleet fleet = fleet_of("--user me");
  CHECK(fleet.settings().connection.user == "me");
  CHECK(fleet.settings().connection.password == "secret");
  unsetenv("LARDER_PASSWORD");
  CHECK_THROWS_WITH(fleet_of("--user me"),
                    "--user: needs --password-file or the variable LARDER_PASSWORD");
}

TEST_CASE("options that make no sense are named") {
  CHECK_THROWS_WITH(fleet_of("--servers a"), "--servers: 'a' is not HOST:PORT[:WEIGHT]");
  CHECK_THROWS_WITH(fleet_of("--dialect x"), "--dialect: 'x' is none of classic, meta and binary");
  CHECK_THROWS_WITH(fleet_of("--tls-ca x"), "--tls: is needed by the other --tls options");
  CHECK_THROWS_WITH(fleet_of("--tls --tls-key x"), "--tls-cert: and --tls-key need each other");
  CHECK_THROWS_WITH(fleet_of("--password-file x"), "--password-file: needs --user");
  CHECK_THROWS_WITH(fleet_of("--user me --password-file /nowhere"),
                    "--password-file: '/nowhere' cannot be read, or is empty");
  CHECK_THROWS_AS(fleet_of("--timeout 0"), CLI::ValidationError);
}
