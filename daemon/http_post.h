// HttpPost: one POST of a JSON text on a connection of its own, with libevent's HTTP client.
//
// What comes back is bounded in size, and in time unless it is a stream: evhttp's own timeout
// counts from the last byte, so a server could drip. Nothing is called from inside evhttp, so that
// whoever is told may delete this at once, which ends it without a further word. One thread, that
// of the base.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/event_ptr.h"

struct evdns_base;
struct evhttp_connection;
struct evhttp_request;

namespace larder::daemon {

class HttpPost {
 public:
  struct Request {
    std::string host;  // a name, or an address without brackets
    uint16_t port = 0;
    std::string authority;  // for the header Host
    std::string path;
    std::string body;
    std::string token;  // for the header Authorization; empty: without
  };
  struct Limits {
    size_t head_bytes = 16 * 1024;
    size_t body_bytes = 2 * 1024 * 1024;   // in all, also of a stream
    std::chrono::milliseconds time{2000};  // for all of it; of a stream until its first byte
  };
  struct Result {
    int status = 0;     // HTTP's, 0: there was no whole answer
    std::string body;   // empty of a stream
    std::string error;  // with status 0: why, without its full stop
  };
  using Done = std::function<void(const Result&)>;     // once
  using Part = std::function<void(std::string_view)>;  // of the body, cut anywhere

  // names  looks up hosts; null: they are looked up at once, which an address needs no time for
  // part   makes it a stream
  // Throws std::runtime_error if memory ran out.
  HttpPost(event_base* base, evdns_base* names, Request request, Limits limits, Done done,
           Part part = nullptr);
  ~HttpPost();
  HttpPost(const HttpPost&) = delete;
  HttpPost& operator=(const HttpPost&) = delete;

 private:
  struct ConnectionDeleter {
    void operator()(evhttp_connection* connection) const noexcept;
  };

  static void on_answer(evhttp_request* request, void* self);
  static void on_part(evhttp_request* request, void* self);
  static void on_error(int error, void* self);  // an evhttp_request_error
  static void on_told_event(int fd, short what, void* self);
  static void on_deadline_event(int fd, short what, void* self);

  void run_out_of_memory() noexcept;  // ends it with that error
  void tell();                        // what has come, to who waits for it; may delete this

  const Limits limits_;
  const Done done_;
  const Part part_;
  Result result_;
  std::string parts_;  // that nobody was told of
  bool ended_ = false;
  EventPtr told_event_, deadline_event_;
  std::unique_ptr<evhttp_connection, ConnectionDeleter> connection_;
};

}  // namespace larder::daemon
