// Result<T>: a value, or the error that there is instead. Nothing in this library throws on account
// of a server, of the network, or of what a caller asks for.
#pragma once

#include <cassert>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace larder::client {

enum class ErrorKind : uint8_t {
  BadRequest,   // no server would take it: the key, the value's length, an option of the dialect
  Unreachable,  // no connection: name not found, refused, no route, too many connections there
  Timeout,      // the deadline has passed; whether a write has been done is not known
  Closed,       // the server closed in the middle; likewise
  Denied,       // the server wants a login, or does not accept this one; TLS that was not agreed on
  Refused,      // the server's own words: out of memory, too large, not allowed, unknown command
  TooLarge,     // the answer is larger than the options of the connection allow
  Protocol,     // what came is no answer to what was asked
  Ejected,      // the node is not used for now; nothing was sent
};

struct Error {
  ErrorKind kind = ErrorKind::Protocol;
  std::string text;  // a sentence without its full stop, for people: names the server
  // The cause is here: this process or machine has no descriptor, memory or thread left. It does
  // not count against a server.
  bool is_local = false;

  // What may succeed when it is tried again, on a new connection.
  bool is_of_the_network() const noexcept {
    return kind == ErrorKind::Unreachable || kind == ErrorKind::Timeout ||
           kind == ErrorKind::Closed || kind == ErrorKind::Ejected;
  }
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : content_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const noexcept { return content_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  // Only if ok(), as with std::optional: where asserts are off nothing checks it.
  T& operator*() noexcept {
    assert(ok());
    return *std::get_if<0>(&content_);
  }
  const T& operator*() const noexcept {
    assert(ok());
    return *std::get_if<0>(&content_);
  }
  T* operator->() noexcept { return &**this; }
  const T* operator->() const noexcept { return &**this; }

  // Only if not.
  const Error& error() const noexcept {
    assert(!ok());
    return *std::get_if<1>(&content_);
  }

 private:
  std::variant<T, Error> content_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const noexcept { return !error_; }
  explicit operator bool() const noexcept { return ok(); }
  const Error& error() const noexcept {
    assert(error_);
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace larder::client
