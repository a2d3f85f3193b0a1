#include "daemon/http_post.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace larder::daemon {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience{20'000};

// A server in the same event base. To whatever it is asked it answers with the same pieces, one in
// each pass, and then closes or holds.
class CannedServer {
 public:
  CannedServer(event_base* base, std::vector<std::string> pieces, bool hold = false)
      : base_(base), pieces_(std::move(pieces)), hold_(hold) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener_ = evconnlistener_new_bind(base, on_client, this, LEV_OPT_CLOSE_ON_FREE, 8,
                                        reinterpret_cast<sockaddr*>(&address), sizeof address);
    REQUIRE(listener_ != nullptr);
    socklen_t bytes = sizeof address;
    getsockname(evconnlistener_get_fd(listener_), reinterpret_cast<sockaddr*>(&address), &bytes);
    port_ = ntohs(address.sin_port);
  }
  ~CannedServer() {
    piece_event_.reset();
    if (client_ != nullptr) bufferevent_free(client_);
    evconnlistener_free(listener_);
  }
  uint16_t port() const { return port_; }
  const std::string& asked() const { return asked_; }

 private:
  static void on_client(evconnlistener*, evutil_socket_t fd, sockaddr*, int, void* self) {
    auto& server = *static_cast<CannedServer*>(self);
    server.client_ = bufferevent_socket_new(server.base_, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(server.client_, on_read, nullptr, nullptr, self);
    bufferevent_enable(server.client_, EV_READ | EV_WRITE);
  }
  static void on_read(bufferevent* client, void* self) {
    auto& server = *static_cast<CannedServer*>(self);
    evbuffer* const input = bufferevent_get_input(client);
    std::string bytes(evbuffer_get_length(input), '\0');
    evbuffer_remove(input, bytes.data(), bytes.size());
    server.asked_ += bytes;
    if (server.piece_event_ != nullptr) return;
    server.piece_event_ = make_event(server.base_, -1, 0, on_piece, self);
    event_active(server.piece_event_.get(), 0, 0);
  }
  static void on_piece(int, short, void* self) {
    auto& server = *static_cast<CannedServer*>(self);
    if (server.next_ < server.pieces_.size()) {
      const std::string& piece = server.pieces_[server.next_++];
      // At once, so that pieces arrive one by one.
      CHECK(send(bufferevent_getfd(server.client_), piece.data(), piece.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(piece.size()));
      constexpr timeval kMoment = {0, 1000};
      event_add(server.piece_event_.get(), &kMoment);
    } else if (!server.hold_) {
      bufferevent_free(server.client_);
      server.client_ = nullptr;
    }
  }

  event_base* base_;
  const std::vector<std::string> pieces_;
  const bool hold_;
  size_t next_ = 0;
  uint16_t port_ = 0;
  std::string asked_;
  evconnlistener* listener_ = nullptr;
  bufferevent* client_ = nullptr;
  EventPtr piece_event_;
};

struct Outcome {
  HttpPost::Result result;
  std::string parts;
  std::string asked;
  bool done = false;
};

Outcome post(std::vector<std::string> pieces, HttpPost::Limits limits = {}, bool stream = false,
             bool hold = false) {
  const EventBasePtr base = make_event_base();
  CannedServer server(base.get(), std::move(pieces), hold);
  Outcome outcome;
  HttpPost::Part part;
  if (stream) part = [&](std::string_view bytes) { outcome.parts += bytes; };
  std::unique_ptr<HttpPost> asked;
  asked = std::make_unique<HttpPost>(
      base.get(), nullptr,
      HttpPost::Request{"127.0.0.1", server.port(), "etcd:1", "/path", "{}", "word"}, limits,
      [&](const HttpPost::Result& result) {
        outcome.result = result;
        outcome.done = true;
        asked.reset();  // as its owners do
        event_base_loopbreak(base.get());
      },
      part);
  const timeval patience = {kPatience.count() / 1000, 0};
  event_base_loopexit(base.get(), &patience);
  event_base_dispatch(base.get());
  outcome.asked = server.asked();
  REQUIRE(outcome.done);
  return outcome;
}

const std::string kChunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\n yo\r\n0\r\n\r\n";

TEST_CASE("a POST carries its body, its host and its token") {
  const Outcome outcome = post({"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nab"});
  CHECK(outcome.result.status == 404);
  CHECK(outcome.result.body == "ab");
  CHECK(outcome.asked.starts_with("POST /path HTTP/1.1\r\n"));
  for (const char* line : {"Host: etcd:1\r\n", "Authorization: word\r\n", "Content-Length: 2\r\n",
                           "Connection: close\r\n", "\r\n\r\n{}"}) {
    CHECK(outcome.asked.find(line) != std::string::npos);
  }
}

TEST_CASE("an answer may come in any two pieces, and cut off it is none") {
  const bool stream = GENERATE(false, true);
  for (size_t cut = 1; cut < kChunked.size(); ++cut) {
    INFO("cut at " << cut);
    const Outcome whole = post({kChunked.substr(0, cut), kChunked.substr(cut)}, {}, stream);
    CHECK(whole.result.status == 200);
    CHECK((stream ? whole.parts : whole.result.body) == "hello yo");
    const Outcome half = post({kChunked.substr(0, cut)}, {}, stream);
    CHECK(half.result.status == 0);
    CHECK_FALSE(half.result.error.empty());
  }
}

TEST_CASE("what is too long or takes too long is given up") {
  HttpPost::Limits limits;
  limits.head_bytes = 200;
  limits.body_bytes = 7;
  limits.time = milliseconds(100);
  const auto error = [&](std::vector<std::string> pieces, bool hold = false, bool stream = false) {
    const Outcome outcome = post(std::move(pieces), limits, stream, hold);
    CHECK(outcome.result.status == 0);
    return outcome.result.error;
  };
  CHECK(error({kChunked}) == "its answer is too long");
  CHECK(error({kChunked}, false, true) == "its answer is too long");
  CHECK(error({"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"}, true) == "its answer is too long");
  CHECK(error({"HTTP/1.1 200 OK\r\nA: " + std::string(300, 'x')}, true) ==
        "its answer is not HTTP");
  CHECK(error({}, true) == "it does not answer in time");
  CHECK(error({}, true, true) == "it does not answer in time");
  std::vector<std::string> drips(1000, "x");
  drips.insert(drips.begin(), "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nA: ");
  limits.head_bytes = 10'000;
  CHECK(error(drips, true) == "it does not answer in time");
  CHECK(error({"\xff\r\n\r\n"}) == "its answer is not HTTP");
}

TEST_CASE("a stream may be silent after its first byte, and be given up while it is told of") {
  const EventBasePtr base = make_event_base();
  CannedServer server(base.get(), {kChunked.substr(0, kChunked.size() - 5)}, true);
  std::string parts;
  HttpPost::Limits limits;
  limits.time = milliseconds(50);
  bool done = false;
  auto asked = std::make_unique<HttpPost>(
      base.get(), nullptr, HttpPost::Request{"127.0.0.1", server.port(), "e", "/", "{}", ""},
      limits, [&](const HttpPost::Result&) { done = true; },
      [&](std::string_view part) { parts += part; });
  const timeval longer = {0, 200'000};
  event_base_loopexit(base.get(), &longer);
  event_base_dispatch(base.get());
  CHECK(parts == "hello yo");
  CHECK_FALSE(done);
  asked.reset();

  CannedServer another(base.get(), {kChunked});
  parts.clear();
  asked = std::make_unique<HttpPost>(
      base.get(), nullptr, HttpPost::Request{"127.0.0.1", another.port(), "e", "/", "{}", ""},
      limits, [&](const HttpPost::Result&) { done = true; },
      [&](std::string_view part) {
        parts += part;
        asked.reset();
      });
  event_base_loopexit(base.get(), &longer);
  event_base_dispatch(base.get());
  CHECK(parts.starts_with("hello"));
  CHECK_FALSE(done);
}

TEST_CASE("where nobody listens there is an error") {
  const EventBasePtr base = make_event_base();
  uint16_t port = 0;
  {
    CannedServer gone(base.get(), {});
    port = gone.port();
  }
  HttpPost::Result result;
  bool done = false;
  HttpPost asked(base.get(), nullptr, {"127.0.0.1", port, "e", "/", "{}", ""}, {},
                 [&](const HttpPost::Result& its) {
                   result = its;
                   done = true;
                   event_base_loopbreak(base.get());
                 });
  event_base_dispatch(base.get());
  CHECK(done);
  CHECK(result.status == 0);
  CHECK(result.error == "cannot connect");
}

}  // namespace
}  // namespace larder::daemon
