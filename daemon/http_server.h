// HttpServer: the pages for people and programs that watch the server: metrics, figures, health.
//
// A thread of its own with libevent's evhttp, so that nobody who asks delays a request to the
// cache. It answers GET and HEAD, one request a connection, and a client can cost little: its head,
// body, time and number are limited (HttpLimits). Where the number is reached, the oldest
// connection that has not sent a whole head is closed for a new one, so that silent clients keep
// nobody away; if all have sent theirs, new ones wait to be accepted. There is no TLS and no
// authentication: it is for loopback, or for a network that is trusted. On loopback it answers only
// who asks for this machine by a name that is its own: a page from elsewhere, whose name its owner
// has pointed at 127.0.0.1, cannot have a browser here read for it (DNS rebinding).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "daemon/event_ptr.h"
#include "daemon/listener.h"
#include "daemon/mailbox.h"

struct bufferevent;
struct evbuffer;
struct evbuffer_cb_info;
struct evhttp;
struct evhttp_request;
struct evconnlistener;

namespace larder::daemon {

struct HttpPage {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  std::string content_security_policy = {};  // of a page for browsers
};

struct HttpRoute {
  std::string path;                // as a whole: "/metrics"
  std::function<HttpPage()> make;  // called on the server's thread
};

struct HttpLimits {
  size_t head_bytes = 8 * 1024;                // request line and headers
  size_t body_bytes = 1024;                    // nobody needs one
  size_t connections = 16;                     // at a time
  std::chrono::milliseconds head_time{3'000};  // from accepting to the end of the head
  std::chrono::milliseconds time{10'000};      // from there to the last byte of the reply
};

class HttpServer {
 public:
  HttpServer(std::vector<Listener> listeners, std::vector<HttpRoute> routes,
             HttpLimits limits = {});
  ~HttpServer();  // stops, if that has not been done
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // One thread. Throws std::runtime_error with one sentence.
  void start();
  void stop();  // waits for the thread; open connections are closed

  int port() const noexcept { return listeners_.empty() ? 0 : listeners_.front().port(); }
  std::string description() const;  // "tcp:127.0.0.1:9150"

 private:
  struct HttpDeleter {
    void operator()(evhttp* http) const noexcept;
  };
  struct BuffereventDeleter {
    void operator()(bufferevent* connection) const noexcept;  // gives back our reference
  };
  // A connection that evhttp serves. Nothing tells when it ends, so its buffers are kept and looked
  // at until they are ours alone.
  struct Visit {
    std::unique_ptr<bufferevent, BuffereventDeleter> connection;
    std::chrono::steady_clock::time_point since;
    bool asked = false;   // its head has come whole, at `since`; before, it was accepted then
    bool closed = false;  // by us; evhttp has not seen it yet
  };

  static bufferevent* on_connection(event_base* base, void* self);
  static void on_input(evbuffer* input, const evbuffer_cb_info* change, void* connection);
  static void on_request(evhttp_request* request, void* self);
  static void on_sweep_event(int fd, short what, void* self);
  static void on_mailbox_event(int fd, short what, void* self);
  static void on_accept_error(evconnlistener* listener, void* http);

  bufferevent* admit();
  void make_room();
  static void close(Visit& visit);
  void note_asked(evhttp_request* request);
  // Answers, or closes the connection if memory has run out.
  void serve(evhttp_request* request) noexcept;
  void answer(evhttp_request* request);
  bool is_asked_for(const char* host) const;
  // Forgets connections that have ended, and ends those whose time is up.
  void sweep();
  void accept_more(bool yes);

  const std::vector<Listener> listeners_;
  const std::vector<HttpRoute> routes_;
  const HttpLimits limits_;
  const bool loopback_only_;
  const std::string own_name_;
  EventBasePtr base_;
  Mailbox mailbox_;
  EventPtr mailbox_event_, sweep_event_;
  std::vector<Visit> visits_;
  std::unique_ptr<evhttp, HttpDeleter> http_;
  std::vector<evconnlistener*> doors_;  // http_'s
  std::thread thread_;
};

}  // namespace larder::daemon
