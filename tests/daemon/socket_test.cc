#include "daemon/socket.h"

#include <sys/socket.h>

#include <array>
#include <catch2/catch.hpp>
#include <string>

using larder::daemon::Socket;

namespace {

struct Pair {
  Pair() {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) throw 0;
    near = Socket(fds[0]);
    far = Socket(fds[1]);
  }
  Socket near, far;
};

iovec piece(std::string& text) { return {text.data(), text.size()}; }

}  // namespace

TEST_CASE("pieces arrive as one run of bytes") {
  Pair pair;
  std::string a = "VALUE ", b = "abc";
  const std::array<iovec, 2> pieces = {piece(a), piece(b)};
  CHECK(pair.near.send(pieces).bytes == 9);
  std::array<char, 16> buffer;
  const Socket::Moved got = pair.far.receive(std::span<char>(buffer));
  CHECK(got.status == Socket::Status::Ok);
  CHECK(std::string(buffer.data(), got.bytes) == "VALUE abc");
}

TEST_CASE("a receive into two places fills the first one first") {
  Pair pair;
  std::string text = "valuerest";
  const iovec whole = piece(text);
  pair.near.send({&whole, 1});
  std::string first(5, '-'), second(16, '-');
  const std::array<iovec, 2> into = {piece(first), piece(second)};
  CHECK(pair.far.receive(into).bytes == 9);
  CHECK(first == "value");
  CHECK(second.substr(0, 5) == "rest-");
}

TEST_CASE("what a socket cannot do now is Again") {
  Pair pair;
  std::array<char, 16> buffer;
  CHECK(pair.far.receive(std::span<char>(buffer)).status == Socket::Status::Again);
  std::string block(1 << 20, 'x');
  const iovec whole = piece(block);
  Socket::Moved moved;
  do {
    moved = pair.near.send({&whole, 1});
  } while (moved.status == Socket::Status::Ok);
  CHECK(moved.status == Socket::Status::Again);
}

TEST_CASE("the end of the stream is Closed for the reader and Broken for the writer") {
  Pair pair;
  pair.far.close();
  std::array<char, 16> buffer;
  CHECK(pair.near.receive(std::span<char>(buffer)).status == Socket::Status::Closed);
  std::string text = "x";
  const iovec whole = piece(text);
  CHECK(pair.near.send({&whole, 1}).status == Socket::Status::Broken);
}

TEST_CASE("a moved socket has one owner") {
  Pair pair;
  const int fd = pair.near.fd();
  Socket moved = std::move(pair.near);
  CHECK(moved.fd() == fd);
  CHECK_FALSE(pair.near);  // NOLINT: what a move leaves behind is the point
  pair.far = std::move(moved);
  CHECK(pair.far.fd() == fd);
}
