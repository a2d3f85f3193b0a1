// NameServer: a DNS server on loopback that knows the names a test gives it, on a thread of its
// own.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace larder::test {

// Over UDP. A name without an answer does not exist (NXDOMAIN). Any thread.
class NameServer {
 public:
  NameServer();
  ~NameServer();
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  // For ConnectionOptions::name_servers.
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // addresses  in digits, of both families; they replace those of before
  void set(const std::string& name, std::vector<std::string> addresses);
  // It reads questions and answers none, or none for addresses of IPv6.
  void be_silent() { silent_ = true; }
  void be_silent_about_ipv6() { silent_about_ipv6_ = true; }

  // The names that it was asked for so far, in lower case.
  std::set<std::string> asked() const;

 private:
  void run();
  std::string reply_to(std::string_view question);

  int socket_;
  int stop_;  // an eventfd
  uint16_t port_ = 0;
  std::atomic<bool> silent_ = false;
  std::atomic<bool> silent_about_ipv6_ = false;
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<std::string>> names_;  // guarded by mutex_
  std::set<std::string> asked_;                            // guarded by mutex_
  std::thread thread_;
};

}  // namespace larder::test
