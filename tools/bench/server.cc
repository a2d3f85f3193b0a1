#include "tools/bench/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include "tools/bench/words.h"

namespace larder::bench {
namespace {

int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    throw std::runtime_error("no free port");
  }
  close(fd);
  return ntohs(address.sin_port);
}

// Anywhere, also when the calling thread is pinned.
void unpin() {
  cpu_set_t set;
  std::memset(&set, 0xff, sizeof set);
  sched_setaffinity(0, sizeof set, &set);
}

void replace_all(std::string& text, const std::string& word, const std::string& by) {
  for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += by.size()) {
    text.replace(at, word.size(), by);
  }
}

Endpoint at_port(int port) {
  Endpoint endpoint;
  endpoint.port = port;
  return endpoint;
}

// Whether somebody takes connections there.
bool is_there(const Endpoint& at) {
  if (at.unix_path.empty()) {
    const int fd = connect_to(at.port);
    if (fd >= 0) close(fd);
    return fd >= 0;
  }
  try {
    const Stream stream(at);
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

std::string free_socket_path() {
  static std::atomic<int> number{0};
  const std::string name =
      "larder-bench-" + std::to_string(getpid()) + '-' + std::to_string(++number) + ".socket";
  return (std::filesystem::temp_directory_path() / name).string();
}

std::string text_of_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

void pin(pid_t pid, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(pid, sizeof set, &set) != 0) std::perror("sched_setaffinity");
}

int connect_to(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return -1;
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

Server::Server(std::string command, int cpu, uint64_t memory_mib) : port_(free_port()) {
  if (command.find("{socket}") != std::string::npos) socket_ = free_socket_path();
  if (socket_.empty() && command.find("{port}") == std::string::npos) {
    throw std::runtime_error("no {port} and no {socket} in: " + command);
  }
  replace_all(command, "{socket}", socket_);
  replace_all(command, "{port}", std::to_string(port_));
  replace_all(command, "{memory}", std::to_string(memory_mib));
  std::istringstream words(command);
  std::vector<std::string> arguments{std::istream_iterator<std::string>(words), {}};
  pid_ = fork();
  if (pid_ == 0) {
    cpu >= 0 ? pin(0, cpu) : unpin();
    dup2(STDERR_FILENO, STDOUT_FILENO);  // redis-server logs to stdout, where our JSON may go
    std::vector<char*> argv;
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    std::perror(argv[0]);
    _exit(127);
  }
  for (int i = 0; i < 500; ++i) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      throw std::runtime_error("it ended by itself: " + command);
    }
    if (is_there(endpoint())) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  stop();
  throw std::runtime_error("no answer from: " + command);
}

Endpoint Server::endpoint() const {
  Endpoint endpoint = at_port(port_);
  endpoint.unix_path = socket_;
  return endpoint;
}

double Server::cpu_nanoseconds() const {
  double total = 0;
  const std::string tasks = "/proc/" + std::to_string(pid_) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    std::ifstream file(task.path() / "schedstat");
    double on_cpu = 0;
    if (file >> on_cpu) total += on_cpu;
  }
  return total;
}

double Server::resident_mib() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/statm");
  double size_pages = 0;
  double resident_pages = 0;
  file >> size_pages >> resident_pages;
  return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

std::optional<double> Server::huge_pages_mib() const {
  return parse_huge_pages_mib(text_of_file("/proc/" + std::to_string(pid_) + "/smaps_rollup"));
}

void Server::pause() const { kill(pid_, SIGSTOP); }
void Server::go_on() const { kill(pid_, SIGCONT); }

void Server::stop() {
  kill(pid_, SIGTERM);
  go_on();  // a paused one would not see it
  waitpid(pid_, nullptr, 0);
  if (!socket_.empty()) unlink(socket_.c_str());
}

Connection::Connection(int port) : fd_(connect_to(port)) {
  if (fd_ < 0) throw std::runtime_error("cannot connect");
}

Connection::~Connection() { close(fd_); }

void Connection::send(const std::string& request, std::string expected) {
  expected_ = std::move(expected);
  got_ = 0;
  size_t sent = 0;
  while (sent < request.size()) {
    const ssize_t n = ::send(fd_, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) throw std::runtime_error("the server closed the connection");
    sent += static_cast<size_t>(n);
  }
}
bool Connection::receive(std::vector<char>& buffer) {
  const ssize_t n = recv(fd_, buffer.data(), buffer.size(), 0);
  if (n <= 0) throw std::runtime_error("the server closed the connection");
  const auto bytes = static_cast<size_t>(n);
  if (got_ + bytes > expected_.size() ||
      std::memcmp(buffer.data(), expected_.data() + got_, bytes) != 0) {
    throw std::runtime_error("wrong reply: " + std::string(buffer.data(), bytes).substr(0, 80) +
                             " for " + expected_.substr(got_, 80));
  }
  got_ += bytes;
  return got_ == expected_.size();
}

std::string key_of(uint64_t n) {
  char key[32];
  std::snprintf(key, sizeof key, "key-%016llu", static_cast<unsigned long long>(n));
  return key;
}

std::string value_of(uint64_t n, size_t bytes) {
  std::string value = std::to_string(n) + ":";
  while (value.size() < bytes) value += static_cast<char>('a' + (n + value.size()) % 26);
  value.resize(bytes);
  return value;
}

std::string command(const Endpoint& at, const std::string& request, const std::string& end) {
  Stream stream(at);
  const auto wait = [&](short events) {
    pollfd polled{stream.fd(), events, 0};
    if (poll(&polled, 1, -1) < 0 && errno != EINTR) throw std::runtime_error("cannot wait");
  };
  const auto check = [&](ssize_t n) {
    if (n == Stream::kFailed) throw std::runtime_error(at.text() + ": " + stream.why());
    return n != Stream::kAgain;
  };
  for (size_t sent = 0; sent < request.size();) {
    const ssize_t n = stream.write(request.data() + sent, request.size() - sent);
    check(n) ? static_cast<void>(sent += static_cast<size_t>(n)) : wait(POLLOUT);
  }
  std::string reply;
  char buffer[4096];
  while (!reply.ends_with(end)) {
    const ssize_t n = stream.read(buffer, sizeof buffer);
    check(n) ? static_cast<void>(reply.append(buffer, static_cast<size_t>(n))) : wait(POLLIN);
  }
  return reply;
}

std::string command(int port, const std::string& request, const std::string& end) {
  return command(at_port(port), request, end);
}

uint64_t stat(const Endpoint& at, const std::string& name) {
  const std::string stats = command(at, "stats\r\n", "END\r\n");
  const size_t found = stats.find("STAT " + name + " ");
  if (found == std::string::npos) throw std::runtime_error("no such statistic: " + name);
  return std::stoull(stats.substr(found + 6 + name.size()));
}

uint64_t stat(int port, const std::string& name) { return stat(at_port(port), name); }

std::optional<double> parse_huge_pages_mib(std::string_view smaps_rollup) {
  constexpr std::string_view kName = "\nAnonHugePages:";
  const size_t at = smaps_rollup.find(kName);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = smaps_rollup.substr(at + kName.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  const auto kib = parse_number(rest.substr(0, rest.find(' ')));
  if (!kib) return std::nullopt;
  return static_cast<double>(*kib) / 1024;
}

std::string huge_page_setting() {
  const std::string text = text_of_file("/sys/kernel/mm/transparent_hugepage/enabled");
  const size_t from = text.find('[');
  const size_t to = text.find(']');
  if (from == std::string::npos || to == std::string::npos || to < from) return "unknown";
  return text.substr(from + 1, to - from - 1);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace larder::bench
