#include "tests/library/name_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "tests/library/loopback.h"

namespace larder::test {
namespace {

// RFC 1035, section 4.1.
constexpr size_t kHeaderBytes = 12;
constexpr uint16_t kTypeA = 1;
constexpr uint16_t kTypeAaaa = 28;
constexpr uint16_t kClassInternet = 1;
constexpr uint16_t kReplyOfARecursiveServer = 0x8180;
constexpr uint16_t kNoSuchName = 3;
constexpr uint16_t kNameOfTheQuestion = 0xC000 | kHeaderBytes;  // a pointer

void put16(std::string& out, uint16_t number) {
  out.push_back(static_cast<char>(number >> 8));
  out.push_back(static_cast<char>(number & 0xff));
}

uint16_t get16(std::string_view bytes, size_t at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(bytes[at]) << 8 |
                               static_cast<uint8_t>(bytes[at + 1]));
}

// Empty: it is of the other family, or the question is for something else.
std::string bytes_of(const std::string& address, uint16_t type) {
  char bytes[sizeof(in6_addr)];
  const bool is_v6 = type == kTypeAaaa;
  if (!is_v6 && type != kTypeA) return {};
  if (inet_pton(is_v6 ? AF_INET6 : AF_INET, address.c_str(), bytes) != 1) return {};
  return std::string(bytes, is_v6 ? sizeof(in6_addr) : sizeof(in_addr));
}

struct Question {
  std::string name;  // in lower case, with dots
  uint16_t type = 0;
  size_t end = 0;  // in the message; 0: there is no question in it
};

Question question_of(std::string_view message) {
  Question question;
  size_t at = kHeaderBytes;
  while (at < message.size() && message[at] != 0) {
    const auto label_bytes = static_cast<uint8_t>(message[at]);
    if (at + 1 + label_bytes >= message.size()) return {};
    if (!question.name.empty()) question.name += '.';
    for (const char c : message.substr(at + 1, label_bytes)) {
      question.name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    at += 1 + label_bytes;
  }
  if (at + 5 > message.size()) return {};
  question.type = get16(message, at + 1);
  question.end = at + 5;
  return question;
}

}  // namespace

NameServer::NameServer()
    : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), stop_(eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in address = loopback(0);
  socklen_t bytes = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  if (bind(socket_, any, bytes) != 0 || getsockname(socket_, any, &bytes) != 0) {
    throw std::runtime_error("cannot serve names");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

NameServer::~NameServer() {
  eventfd_write(stop_, 1);
  thread_.join();
  close(stop_);
  close(socket_);
}

void NameServer::set(const std::string& name, std::vector<std::string> addresses) {
  const std::lock_guard lock(mutex_);
  names_[name] = std::move(addresses);
}

std::set<std::string> NameServer::asked() const {
  const std::lock_guard lock(mutex_);
  return asked_;
}

void NameServer::run() {
  for (;;) {
    pollfd polled[] = {{socket_, POLLIN, 0}, {stop_, POLLIN, 0}};
    poll(polled, std::size(polled), -1);
    if (polled[1].revents != 0) return;
    std::array<char, 512> message;
    sockaddr_storage from;
    socklen_t from_bytes = sizeof from;
    auto* const sender = reinterpret_cast<sockaddr*>(&from);
    const ssize_t got =
        recvfrom(socket_, message.data(), message.size(), MSG_DONTWAIT, sender, &from_bytes);
    if (got <= 0) continue;
    const std::string reply = reply_to({message.data(), static_cast<size_t>(got)});
    if (!reply.empty()) sendto(socket_, reply.data(), reply.size(), 0, sender, from_bytes);
  }
}

// Empty: it says nothing.
std::string NameServer::reply_to(std::string_view message) {
  const Question question = question_of(message);
  if (question.end == 0) return {};
  const std::lock_guard lock(mutex_);
  asked_.insert(question.name);
  if (silent_ || (silent_about_ipv6_ && question.type == kTypeAaaa)) return {};
  const auto known = names_.find(question.name);
  std::vector<std::string> found;
  if (known != names_.end()) {
    for (const std::string& address : known->second) {
      std::string bytes = bytes_of(address, question.type);
      if (!bytes.empty()) found.push_back(std::move(bytes));
    }
  }
  std::string reply(message.substr(0, 2));
  put16(reply, kReplyOfARecursiveServer | (known == names_.end() ? kNoSuchName : 0));
  put16(reply, 1);
  put16(reply, static_cast<uint16_t>(found.size()));
  put16(reply, 0);
  put16(reply, 0);
  reply += message.substr(kHeaderBytes, question.end - kHeaderBytes);
  for (const std::string& bytes : found) {
    put16(reply, kNameOfTheQuestion);
    put16(reply, question.type);
    put16(reply, kClassInternet);
    reply.append(4, '\0');  // time to live
    put16(reply, static_cast<uint16_t>(bytes.size()));
    reply += bytes;
  }
  return reply;
}

}  // namespace larder::test
