// Credentials: users and their passwords, as a file lists them.
//
// Every entry fills a cell of the same size, and a check compares the whole of what is offered with
// the whole of every cell, so that how long it takes tells nothing about which users there are or
// how much of a password was right:
//
//   | user bytes (4) | password bytes (4) | user | password | zeros up to a multiple of 8 |
//
// Immutable and in memory that core files leave out (secret.h). Any thread.
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "daemon/secret.h"

namespace larder::daemon {

// User and password of an entry together; longer ones are refused, or skipped.
constexpr size_t kMaxCredentialBytes = 1024;
constexpr size_t kMaxCredentialFileBytes = 1024 * 1024;

// The file cannot be used; what() goes on a sentence that names the option: "cannot read 'x': ...".
class CredentialsError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Credentials {
 public:
  enum class Form {
    AuthFile,      // -Y: user:password in each line, and at least one; all else is an error
    PasswordBase,  // MEMCACHED_SASL_PWDB: a password ends at a colon or with the line, whichever is
                   // offered; lines that are anything else are skipped
  };

  // Both throw CredentialsError, which never shows a part of a line.
  static Credentials read(const std::string& path, Form form);
  static Credentials parse(std::string_view text, Form form);

  // Whether some entry has this user with this password. Takes a time that depends on how much is
  // offered and on how large the file is.
  bool allow(std::string_view user, std::string_view password) const noexcept;

  size_t size() const noexcept { return count_; }

 private:
  size_t count_ = 0;
  size_t cell_bytes_ = 0;
  SecretBytes cells_;
};

}  // namespace larder::daemon
