#include "daemon/http_server.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>
#include <utility>

#include "daemon/gzip.h"
#include "daemon/log.h"

namespace larder::daemon {
namespace {

// How often connections are looked at while there are any; also how long accepting pauses when
// descriptors have run out.
constexpr timeval kSweepInterval = {0, 50'000};
// After events that are due by then.
constexpr timeval kNextPass = {0, 0};

// What a listener tells its errors is libevent's own argument.
thread_local HttpServer* this_thread_serves = nullptr;

// What is shorter leaves in one segment as it is.
constexpr size_t kWorthCompressing = 1400;

constexpr int kNotFound = 404;
constexpr int kMisdirected = 421;

LogSite memory_site;

timeval to_timeval(std::chrono::milliseconds time) {
  return {static_cast<time_t>(time.count() / 1000),
          static_cast<suseconds_t>(time.count() % 1000 * 1000)};
}

// Of a bufferevent that evhttp has given back nothing is left but our reference.
bool has_ended(bufferevent* connection) {
  void* evhttps = nullptr;
  bufferevent_getcb(connection, nullptr, nullptr, nullptr, &evhttps);
  return evhttps == nullptr;
}

// Throws std::bad_alloc, and then nothing has been sent.
void send_page(evhttp_request* request, const HttpPage& page) {
  const bool compress =
      page.body.size() >= kWorthCompressing &&
      takes_gzip(evhttp_find_header(evhttp_request_get_input_headers(request), "Accept-Encoding"));
  const std::string compressed = compress ? gzip(page.body) : std::string();
  const std::string& bytes = compress ? compressed : page.body;
  evkeyvalq* const headers = evhttp_request_get_output_headers(request);
  evhttp_add_header(headers, "Content-Type", page.type.c_str());
  evhttp_add_header(headers, "Content-Length", std::to_string(bytes.size()).c_str());
  if (compress) evhttp_add_header(headers, "Content-Encoding", "gzip");
  evhttp_add_header(headers, "Vary", "Accept-Encoding");
  evhttp_add_header(headers, "Cache-Control", "no-store");
  evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
  if (!page.content_security_policy.empty()) {
    evhttp_add_header(headers, "Content-Security-Policy", page.content_security_policy.c_str());
  }
  evhttp_add_header(headers, "Connection", "close");
  const bool head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
  if (head) return evhttp_send_reply(request, page.status, nullptr, nullptr);
  evbuffer* const body = evbuffer_new();
  if (body == nullptr || evbuffer_add(body, bytes.data(), bytes.size()) != 0) {
    if (body != nullptr) evbuffer_free(body);
    throw std::bad_alloc();
  }
  evhttp_send_reply(request, page.status, nullptr, body);
  evbuffer_free(body);
}

bool is_loopback(const Listener& listener) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  if (getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return false;
  if (address.ss_family == AF_INET6) {
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
  }
  const in_addr_t v4 = ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr);
  return v4 >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
}

bool is_address(std::string host) {
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  in6_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace

void HttpServer::BuffereventDeleter::operator()(bufferevent* connection) const noexcept {
  bufferevent_decref(connection);
}

void HttpServer::HttpDeleter::operator()(evhttp* http) const noexcept { evhttp_free(http); }

HttpServer::HttpServer(std::vector<Listener> listeners, std::vector<HttpRoute> routes,
                       HttpLimits limits)
    : listeners_(std::move(listeners)),
      routes_(std::move(routes)),
      limits_(limits),
      loopback_only_(std::all_of(listeners_.begin(), listeners_.end(), is_loopback)),
      own_name_(host_name()) {}

HttpServer::~HttpServer() { stop(); }

std::string HttpServer::description() const {
  return listeners_.empty() ? "" : listeners_.front().description();
}

void HttpServer::start() {
  base_ = make_event_base();
  mailbox_event_ =
      make_event(base_.get(), mailbox_.fd(), EV_READ | EV_PERSIST, on_mailbox_event, this);
  sweep_event_ = make_event(base_.get(), -1, 0, on_sweep_event, this);
  http_.reset(evhttp_new(base_.get()));
  if (mailbox_event_ == nullptr || sweep_event_ == nullptr || http_ == nullptr ||
      event_add(mailbox_event_.get(), nullptr) != 0) {
    throw std::runtime_error("option --http: out of memory");
  }
  evhttp_set_max_headers_size(http_.get(), static_cast<ev_ssize_t>(limits_.head_bytes));
  evhttp_set_max_body_size(http_.get(), static_cast<ev_ssize_t>(limits_.body_bytes));
  evhttp_set_allowed_methods(http_.get(), EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
  const timeval time = to_timeval(limits_.time);
  evhttp_set_timeout_tv(http_.get(), &time);
  evhttp_set_bevcb(http_.get(), on_connection, this);
  evhttp_set_gencb(http_.get(), on_request, this);
  for (const Listener& listener : listeners_) {
    // The socket stays the Listener's, who has made it non-blocking and has it listen.
    evconnlistener* const door =
        evconnlistener_new(base_.get(), nullptr, nullptr, LEV_OPT_CLOSE_ON_EXEC, 0, listener.fd());
    if (door == nullptr || evhttp_bind_listener(http_.get(), door) == nullptr) {
      if (door != nullptr) evconnlistener_free(door);
      throw std::runtime_error("option --http: cannot wait for clients");
    }
    evconnlistener_set_error_cb(door, on_accept_error);
    doors_.push_back(door);
  }
  thread_ = std::thread([this] {
    sigset_t pipe;  // who hangs up while a page is written ends nothing
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    this_thread_serves = this;
    event_base_dispatch(base_.get());
  });
  pthread_setname_np(thread_.native_handle(), "larder-http");
}

void HttpServer::stop() {
  if (thread_.joinable()) {
    mailbox_.post({Message::Kind::Stop, Socket()});
    thread_.join();
  }
  doors_.clear();
  http_.reset();  // closes all connections
  visits_.clear();
  mailbox_event_.reset();
  sweep_event_.reset();
  base_.reset();
}

void HttpServer::on_mailbox_event(int, short, void* self) {
  event_base_loopbreak(static_cast<HttpServer*>(self)->base_.get());
}

// Comes with each connection, before a byte of it is read. The socket is closed with our reference,
// or what waits for it in the event base would be left over for the next one of its number.
bufferevent* HttpServer::on_connection(event_base*, void* self) {
  return static_cast<HttpServer*>(self)->admit();
}

// What is longer than a request may be is not read: evhttp has enough to refuse it, or has
// answered.
void HttpServer::on_input(evbuffer* input, const evbuffer_cb_info*, void* connection) {
  const HttpLimits& limits = this_thread_serves->limits_;
  if (evbuffer_get_length(input) > limits.head_bytes + limits.body_bytes) {
    bufferevent_disable(static_cast<bufferevent*>(connection), EV_READ);
  }
}

bufferevent* HttpServer::admit() {
  bufferevent* const connection = bufferevent_socket_new(base_.get(), -1, BEV_OPT_CLOSE_ON_FREE);
  if (connection == nullptr) return nullptr;
  // evhttp leaves it reading when it is done with it. (bufferevent_setwatermark, which is made for
  // this, crashes if memory runs out.)
  if (evbuffer_add_cb(bufferevent_get_input(connection), on_input, connection) == nullptr) {
    bufferevent_free(connection);
    return nullptr;
  }
  try {
    visits_.push_back({nullptr, std::chrono::steady_clock::now()});
  } catch (const std::bad_alloc&) {  // evhttp, which calls this, is C
    bufferevent_free(connection);
    return nullptr;  // then evhttp makes one of its own, with its own time limit
  }
  bufferevent_incref(connection);
  visits_.back().connection.reset(connection);
  event_add(sweep_event_.get(), &kSweepInterval);
  if (visits_.size() > limits_.connections) make_room();
  return connection;
}

// The last one has just come. No other is accepted before evhttp has seen the end of the connection
// that is closed here: so there is one above the limit at most, however many come at once.
void HttpServer::make_room() {
  accept_more(false);
  const auto newest = visits_.end() - 1;
  const auto oldest = std::find_if(visits_.begin(), newest, [](const Visit& visit) {
    return !visit.asked && !has_ended(visit.connection.get());
  });
  if (oldest == newest) return;  // a sweep finds the first one that has been answered
  close(*oldest);
  event_add(sweep_event_.get(), &kNextPass);
}

// evhttp sees the end of the stream, and lets go of it.
void HttpServer::close(Visit& visit) {
  if (visit.closed) return;
  shutdown(bufferevent_getfd(visit.connection.get()), SHUT_RDWR);
  visit.closed = true;
}

void HttpServer::note_asked(evhttp_request* request) {
  const bufferevent* const connection =
      evhttp_connection_get_bufferevent(evhttp_request_get_connection(request));
  for (Visit& visit : visits_) {
    if (visit.connection.get() != connection) continue;
    visit.asked = true;
    visit.since = std::chrono::steady_clock::now();
  }
}

void HttpServer::on_sweep_event(int, short, void* self) { static_cast<HttpServer*>(self)->sweep(); }

void HttpServer::sweep() {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(visits_, [](const Visit& visit) { return has_ended(visit.connection.get()); });
  for (Visit& visit : visits_) {
    if (now - visit.since > (visit.asked ? limits_.time : limits_.head_time)) close(visit);
  }
  if (visits_.size() <= limits_.connections) accept_more(true);
  if (!visits_.empty()) event_add(sweep_event_.get(), &kSweepInterval);
}

void HttpServer::accept_more(bool yes) {
  for (evconnlistener* door : doors_) {
    yes ? evconnlistener_enable(door) : evconnlistener_disable(door);
  }
}

void HttpServer::on_accept_error(evconnlistener*, void*) {
  this_thread_serves->accept_more(false);
  event_add(this_thread_serves->sweep_event_.get(), &kSweepInterval);
}

void HttpServer::on_request(evhttp_request* request, void* self) {
  static_cast<HttpServer*>(self)->serve(request);
}

void HttpServer::serve(evhttp_request* request) noexcept {
  note_asked(request);
  try {
    answer(request);
  } catch (const std::bad_alloc&) {
    log(LogLevel::Warning, memory_site, "option --http: a page is lost: out of memory");
    evhttp_connection_free(evhttp_request_get_connection(request));
  }
}

// Scripts and load balancers may leave the name out; browsers never do.
bool HttpServer::is_asked_for(const char* host) const {
  if (!loopback_only_ || host == nullptr || *host == '\0') return true;
  const std::string_view name = host;
  return is_address(host) || evutil_ascii_strcasecmp(host, "localhost") == 0 ||
         name.ends_with(".localhost") || evutil_ascii_strcasecmp(host, own_name_.c_str()) == 0;
}

void HttpServer::answer(evhttp_request* request) {
  if (!is_asked_for(evhttp_request_get_host(request))) {
    return send_page(request, {kMisdirected, "text/plain; charset=utf-8",
                               "this port is open to this machine alone: ask for localhost, an "
                               "address or the machine's name, or open it with --http "
                               "ADDRESS:PORT\n"});
  }
  const char* const path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
  const auto route = std::find_if(routes_.begin(), routes_.end(), [&](const HttpRoute& r) {
    return path != nullptr && r.path == path;
  });
  if (route == routes_.end()) {
    return send_page(request, {kNotFound, "text/plain; charset=utf-8", "not found\n"});
  }
  send_page(request, route->make());
}

}  // namespace larder::daemon
