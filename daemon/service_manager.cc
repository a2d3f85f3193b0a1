#include "daemon/service_manager.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "daemon/log.h"
#include "daemon/socket.h"

namespace larder::daemon {
namespace {

// A manager that does not read is not waited for any longer.
constexpr timeval kPatience = {1, 0};

LogSite cannot_tell_site;

std::string take_variable(const char* name) {
  const char* const set = std::getenv(name);
  const std::string value = set != nullptr ? set : "";
  unsetenv(name);
  return value;
}

// 0 unless it is a number.
uint64_t number(const std::string& text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && stop == end ? value : 0;
}

}  // namespace

ServiceManager::ServiceManager() : address_(take_variable("NOTIFY_SOCKET")) {
  const std::string timeout = take_variable("WATCHDOG_USEC");
  const std::string watched = take_variable("WATCHDOG_PID");
  if (address_.empty()) return;
  if ((address_.front() != '/' && address_.front() != '@') ||
      address_.size() >= sizeof(sockaddr_un::sun_path)) {
    log(LogLevel::Warning,
        "environment variable NOTIFY_SOCKET: '" + address_ + "' names no unix socket");
    address_.clear();
    return;
  }
  if (watched.empty() || number(watched) == static_cast<uint64_t>(getpid())) {
    watchdog_timeout_ = std::chrono::microseconds(number(timeout));
  }
}

void ServiceManager::ready(std::string_view status) {
  // -d: the process that serves is not the one that was started.
  tell("READY=1\nSTATUS=" + std::string(status) + "\nMAINPID=" + std::to_string(getpid()));
}

void ServiceManager::alive() { tell("WATCHDOG=1"); }

void ServiceManager::reloading() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t usec = now.tv_sec * int64_t{1'000'000} + now.tv_nsec / 1000;
  tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(usec));
}

void ServiceManager::stopping() { tell("STOPPING=1\nSTATUS=stopping"); }

void ServiceManager::tell(const std::string& lines) {
  if (address_.empty()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, address_.data(), address_.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());

  const Socket socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  setsockopt(socket.fd(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  if (::sendto(socket.fd(), lines.data(), lines.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), length) < 0) {
    log(LogLevel::Warning, cannot_tell_site,
        "cannot tell the service manager at " + address_ + ": " + std::strerror(errno));
  }
}

}  // namespace larder::daemon
