#include "daemon/mailbox.h"

#include <poll.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <thread>

#include "tests/support/before_read.h"

using larder::daemon::Mailbox;
using larder::daemon::Message;
using larder::daemon::Socket;
using larder::test::BeforeRead;

namespace {

bool readable(int fd, int wait_milliseconds = 0) {
  pollfd waiting{fd, POLLIN, 0};
  return poll(&waiting, 1, wait_milliseconds) == 1;
}

}  // namespace

TEST_CASE("a mailbox rings until it is drained, and hands messages over in order") {
  Mailbox mailbox;
  CHECK_FALSE(readable(mailbox.fd()));
  mailbox.post({Message::Kind::NewConnection, Socket()});
  mailbox.post({Message::Kind::Stop, Socket()});
  CHECK(readable(mailbox.fd()));

  std::vector<Message> mail;
  mailbox.swap(mail);
  REQUIRE(mail.size() == 2);
  CHECK(mail[0].kind == Message::Kind::NewConnection);
  CHECK(mail[1].kind == Message::Kind::Stop);
  CHECK_FALSE(readable(mailbox.fd()));

  mail.clear();
  mailbox.swap(mail);
  CHECK(mail.empty());
}

TEST_CASE("a socket in a mailbox that nobody drains is closed with it") {
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  const Socket other(pair[1]);
  {
    Mailbox mailbox;
    mailbox.post({Message::Kind::NewConnection, Socket(pair[0])});
  }
  char byte;
  CHECK(recv(other.fd(), &byte, 1, MSG_DONTWAIT) == 0);
}

TEST_CASE("no message is lost between threads that post and one that drains") {
  constexpr size_t kSenders = 4;
  constexpr size_t kEach = 20'000;
  Mailbox mailbox;
  std::vector<std::thread> senders;
  for (size_t i = 0; i < kSenders; ++i) {
    senders.emplace_back([&] {
      for (size_t n = 0; n < kEach; ++n) mailbox.post({Message::Kind::NewConnection, Socket()});
    });
  }
  size_t received = 0;
  std::vector<Message> mail;
  while (received < kSenders * kEach && readable(mailbox.fd(), 10'000)) {
    mailbox.swap(mail);
    received += mail.size();
    mail.clear();
  }
  for (std::thread& sender : senders) sender.join();
  CHECK(received == kSenders * kEach);
}

TEST_CASE("a mailbox says that somebody rang, once, and for no message") {
  Mailbox mailbox;
  std::vector<Message> mail;
  CHECK_FALSE(mailbox.swap(mail));
  mailbox.post({Message::Kind::Stop, Socket()});
  CHECK_FALSE(mailbox.swap(mail));
  mail.clear();
  mailbox.ring();
  mailbox.ring();
  CHECK(readable(mailbox.fd()));
  CHECK(mailbox.swap(mail));
  CHECK(mail.empty());
  CHECK_FALSE(readable(mailbox.fd()));
  CHECK_FALSE(mailbox.swap(mail));
}

TEST_CASE("a ring that comes while the mailbox is emptied is told now or makes it readable again") {
  Mailbox mailbox;
  std::vector<Message> mail;
  mailbox.post({Message::Kind::Stop, Socket()});
  bool rang = false;
  {
    const BeforeRead other_thread(mailbox.fd(), [&] { mailbox.ring(); });
    rang = mailbox.swap(mail);
  }
  CHECK(mail.size() == 1);
  CHECK((rang || readable(mailbox.fd())));
}
