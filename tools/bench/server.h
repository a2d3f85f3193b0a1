// What the measuring programs share: a server process that is measured from outside, and a little
// of its protocol. Nothing of Larder in it. Failures are thrown as std::runtime_error.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/stream.h"

namespace larder::bench {

// Keeps a process (0: the calling thread) on one core.
void pin(pid_t pid, int cpu);
// A connected socket to a port of this machine, or -1.
int connect_to(int port);

// A server on loopback that is stopped when it goes out of scope.
class Server {
 public:
  // command      its words, with {port} where the port belongs; with {socket} instead, the path of
  //              a Unix socket, it is reached there
  // cpu          the core it is kept on; below 0: any
  // memory_mib   what stands for {memory}
  explicit Server(std::string command, int cpu, uint64_t memory_mib = 1024);
  ~Server() { stop(); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const { return port_; }
  Endpoint endpoint() const;       // without TLS
  double cpu_nanoseconds() const;  // of all its threads
  double resident_mib() const;
  // Its memory in transparent huge pages now, in MiB. Nothing where the kernel does not let this
  // process read it, as of a server that has changed its user.
  std::optional<double> huge_pages_mib() const;
  // Keeps it from running at all, background threads included, until it may go on.
  void pause() const;
  void go_on() const;

 private:
  void stop();

  int port_;
  std::string socket_;  // empty: none
  pid_t pid_ = -1;
};

// A connection: a request out, the expected reply in.
class Connection {
 public:
  explicit Connection(int port);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return fd_; }

  void send(const std::string& request, std::string expected);
  // Reads once. True when the whole reply is there; throws if it is not the expected one.
  bool receive(std::vector<char>& buffer);
  // Sends and waits for the reply.
  void exchange(const std::string& request, const std::string& expected,
                std::vector<char>& buffer) {
    send(request, expected);
    while (!receive(buffer)) {
    }
  }

 private:
  int fd_;
  std::string expected_;
  size_t got_ = 0;
};

std::string key_of(uint64_t n);  // 20 bytes
std::string value_of(uint64_t n, size_t bytes);

// One request over a connection of its own; the reply up to and including `end`.
std::string command(const Endpoint& at, const std::string& request, const std::string& end);
std::string command(int port, const std::string& request, const std::string& end);
uint64_t stat(const Endpoint& at, const std::string& name);
uint64_t stat(int port, const std::string& name);

// AnonHugePages in the text of a /proc/PID/smaps_rollup, in MiB; nothing where it does not stand
// there.
std::optional<double> parse_huge_pages_mib(std::string_view smaps_rollup);
// The kernel's setting for transparent huge pages: always, madvise or never; "unknown" where
// /sys/kernel/mm/transparent_hugepage/enabled cannot be read.
std::string huge_page_setting();

double median(std::vector<double> values);  // the upper one of an even number; not empty

}  // namespace larder::bench
