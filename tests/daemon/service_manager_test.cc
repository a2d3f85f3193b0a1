#include "daemon/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "daemon/socket.h"
#include "tests/support/temp_folder.h"

using larder::daemon::ServiceManager;
using larder::daemon::Socket;
using larder::test::TempFolder;

namespace {

// A manager that listens at the address, in the way in which NOTIFY_SOCKET names it.
class Manager {
 public:
  explicit Manager(const std::string& name)
      : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name.front() == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    REQUIRE(bind(socket_.fd(), reinterpret_cast<const sockaddr*>(&address), length) == 0);
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }

  std::string heard() {
    std::array<char, 512> text;
    const ssize_t bytes = ::recv(socket_.fd(), text.data(), text.size(), 0);
    return bytes < 0 ? "nothing" : std::string(text.data(), static_cast<size_t>(bytes));
  }

 private:
  Socket socket_;
};

void tells_all(const std::string& address) {
  Manager manager(address);
  ServiceManager service;
  CHECK(std::getenv("NOTIFY_SOCKET") == nullptr);
  CHECK(manager.heard() == "nothing");
  service.ready("listening");
  CHECK(manager.heard() == "READY=1\nSTATUS=listening\nMAINPID=" + std::to_string(getpid()));
  service.alive();
  CHECK(manager.heard() == "WATCHDOG=1");
  service.reloading();
  CHECK(manager.heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
  service.stopping();
  CHECK(manager.heard() == "STOPPING=1\nSTATUS=stopping");
}

}  // namespace

TEST_CASE("a service manager hears from us at a path") {
  TempFolder folder;
  tells_all(folder.file("notify"));
}

TEST_CASE("a service manager hears from us at an abstract name") {
  tells_all("@larder-service-manager-test-" + std::to_string(getpid()));
}

TEST_CASE("without a manager, or with one that cannot be, nothing is said") {
  unsetenv("NOTIFY_SOCKET");
  setenv("WATCHDOG_USEC", "1000000", 1);
  ServiceManager none;
  none.ready("listening");
  CHECK(none.watchdog_timeout().count() == 0);
  for (const std::string& address :
       {std::string("relative"), std::string("vsock:2:1"), "/" + std::string(200, 'x')}) {
    setenv("NOTIFY_SOCKET", address.c_str(), 1);
    setenv("WATCHDOG_USEC", "1000000", 1);
    ServiceManager service;
    service.ready("listening");
    CHECK(service.watchdog_timeout().count() == 0);
  }
}

TEST_CASE("the watchdog counts for the process that it names") {
  TempFolder folder;
  Manager manager(folder.file("notify"));
  const auto timeout = [&](const char* usec, const std::string& pid) {
    setenv("NOTIFY_SOCKET", folder.file("notify").c_str(), 1);
    setenv("WATCHDOG_USEC", usec, 1);
    if (!pid.empty()) setenv("WATCHDOG_PID", pid.c_str(), 1);
    const ServiceManager service;
    CHECK(std::getenv("WATCHDOG_USEC") == nullptr);
    CHECK(std::getenv("WATCHDOG_PID") == nullptr);
    return service.watchdog_timeout().count();
  };
  CHECK(timeout("2000000", "") == 2'000'000);
  CHECK(timeout("2000000", std::to_string(getpid())) == 2'000'000);
  CHECK(timeout("2000000", "1") == 0);
  CHECK(timeout("soon", "") == 0);
}
