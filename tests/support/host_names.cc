#include "tests/support/host_names.h"

#include <netdb.h>

#include <mutex>
#include <utility>

namespace larder::test {
namespace {

std::mutex mutex;
std::string known_name;  // guarded by mutex, as all here
std::string known_address;

}  // namespace

HostName::HostName(std::string name, std::string address) {
  const std::lock_guard lock(mutex);
  known_name = std::move(name);
  known_address = std::move(address);
}

HostName::~HostName() {
  const std::lock_guard lock(mutex);
  known_name.clear();
}

void HostName::move_to(std::string address) {
  const std::lock_guard lock(mutex);
  known_address = std::move(address);
}

namespace {

std::string looked_up(const char* name) {
  const std::lock_guard lock(mutex);
  return !known_name.empty() && known_name == name ? known_address : name;
}

}  // namespace
}  // namespace larder::test

// The linker leads calls of getaddrinfo here (tests/CMakeLists.txt).

extern "C" int real_getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                                addrinfo** found) __asm__("__real_getaddrinfo");
extern "C" int wrapped_getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                                   addrinfo** found) __asm__("__wrap_getaddrinfo");

extern "C" int wrapped_getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                                   addrinfo** found) {
  if (name == nullptr) return real_getaddrinfo(name, service, hints, found);
  return real_getaddrinfo(larder::test::looked_up(name).c_str(), service, hints, found);
}
