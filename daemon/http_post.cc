#include "daemon/http_post.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>

#include <new>
#include <stdexcept>
#include <utility>

namespace larder::daemon {
namespace {

// A stream may be silent as long as it likes; evhttp wants a number.
constexpr int kStreamTimeoutSeconds = 24 * 3600;

timeval to_timeval(std::chrono::milliseconds time) {
  return {static_cast<time_t>(time.count() / 1000),
          static_cast<suseconds_t>(time.count() % 1000 * 1000)};
}

std::string bytes_of(evbuffer* buffer) {
  std::string bytes(evbuffer_get_length(buffer), '\0');
  evbuffer_copyout(buffer, bytes.data(), bytes.size());
  return bytes;
}

const char* sentence_of(int error) {
  switch (static_cast<evhttp_request_error>(error)) {
    case EVREQ_HTTP_TIMEOUT:
      return "it does not answer in time";
    case EVREQ_HTTP_EOF:
      return "it closed the connection before it had answered";
    case EVREQ_HTTP_INVALID_HEADER:
      return "its answer is not HTTP";
    case EVREQ_HTTP_DATA_TOO_LONG:
      return "its answer is too long";
    case EVREQ_HTTP_BUFFER_ERROR:
    case EVREQ_HTTP_REQUEST_CANCEL:
      break;
  }
  return "the connection broke";
}

}  // namespace

void HttpPost::ConnectionDeleter::operator()(evhttp_connection* connection) const noexcept {
  evhttp_connection_free(connection);
}

HttpPost::HttpPost(event_base* base, evdns_base* names, Request request, Limits limits, Done done,
                   Part part)
    : limits_(limits),
      done_(std::move(done)),
      part_(std::move(part)),
      told_event_(make_event(base, -1, 0, on_told_event, this)),
      deadline_event_(make_event(base, -1, 0, on_deadline_event, this)),
      connection_(evhttp_connection_base_new(base, names, request.host.c_str(), request.port)) {
  evhttp_request* const asked = evhttp_request_new(on_answer, this);
  const timeval deadline = to_timeval(limits_.time);
  if (told_event_ == nullptr || deadline_event_ == nullptr || connection_ == nullptr ||
      asked == nullptr || event_add(deadline_event_.get(), &deadline) != 0) {
    if (asked != nullptr) evhttp_request_free(asked);
    throw std::runtime_error("cannot ask over HTTP: out of memory");
  }
  evhttp_connection_set_max_headers_size(connection_.get(),
                                         static_cast<ev_ssize_t>(limits_.head_bytes));
  evhttp_connection_set_max_body_size(connection_.get(),
                                      static_cast<ev_ssize_t>(limits_.body_bytes));
  // Ours comes before it.
  evhttp_connection_set_timeout(connection_.get(), kStreamTimeoutSeconds);
  evhttp_request_set_error_cb(
      asked, [](evhttp_request_error error, void* self) { on_error(error, self); });
  if (part_) evhttp_request_set_chunked_cb(asked, on_part);
  evkeyvalq* const headers = evhttp_request_get_output_headers(asked);
  evhttp_add_header(headers, "Host", request.authority.c_str());
  evhttp_add_header(headers, "Content-Type", "application/json");
  if (!request.token.empty()) {
    evhttp_add_header(headers, "Authorization", request.token.c_str());
  }
  evhttp_add_header(headers, "Connection", "close");
  evbuffer_add(evhttp_request_get_output_buffer(asked), request.body.data(), request.body.size());
  // It owns the request now, also if that fails.
  if (evhttp_make_request(connection_.get(), asked, EVHTTP_REQ_POST, request.path.c_str()) != 0) {
    result_.error = "cannot connect";
    ended_ = true;
    event_active(told_event_.get(), 0, 0);
  }
}

HttpPost::~HttpPost() = default;

// No exception may leave these three: evhttp, which calls them, is C.

void HttpPost::on_answer(evhttp_request* request, void* self) {
  auto& post = *static_cast<HttpPost*>(self);
  post.ended_ = true;
  try {
    if (request != nullptr && evhttp_request_get_response_code(request) != 0) {
      post.result_.body = bytes_of(evhttp_request_get_input_buffer(request));
      post.result_.status = evhttp_request_get_response_code(request);
    } else if (post.result_.error.empty()) {
      post.result_.error = "cannot connect";
    }
  } catch (const std::bad_alloc&) {
    post.run_out_of_memory();
  }
  event_active(post.told_event_.get(), 0, 0);
}

// After a part that was lost the rest of the stream is of no use: its end is told at once.
void HttpPost::on_part(evhttp_request* request, void* self) {
  auto& post = *static_cast<HttpPost*>(self);
  if (post.ended_) return;
  try {
    post.parts_ += bytes_of(evhttp_request_get_input_buffer(request));  // evhttp drains it
  } catch (const std::bad_alloc&) {
    post.run_out_of_memory();
  }
  event_active(post.told_event_.get(), 0, 0);
}

void HttpPost::on_error(int error, void* self) {
  auto& post = *static_cast<HttpPost*>(self);
  try {
    post.result_.error = sentence_of(error);
  } catch (const std::bad_alloc&) {
    post.run_out_of_memory();
  }
}

void HttpPost::run_out_of_memory() noexcept {
  std::string().swap(parts_);
  result_.status = 0;
  result_.error = "out of memory";  // short enough to need none
  ended_ = true;
}

void HttpPost::on_deadline_event(int, short, void* self) {
  auto& post = *static_cast<HttpPost*>(self);
  on_error(EVREQ_HTTP_TIMEOUT, self);
  post.ended_ = true;
  post.connection_.reset();
  post.tell();
}

void HttpPost::on_told_event(int, short, void* self) { static_cast<HttpPost*>(self)->tell(); }

void HttpPost::tell() {
  if (!parts_.empty()) {
    event_del(deadline_event_.get());
    if (ended_) event_active(told_event_.get(), 0, 0);  // the end is told next
    const Part part = part_;                            // it may delete this
    const std::string parts = std::exchange(parts_, {});
    return part(parts);
  }
  if (!ended_) return;
  event_del(deadline_event_.get());
  const Done done = done_;  // likewise
  const Result result = std::move(result_);
  done(result);
}

}  // namespace larder::daemon
