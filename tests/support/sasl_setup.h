// SaslSetup: a folder with a memcached.conf, and the environment that leads libsasl to it.
//
// For one server after the other: the library reads the configuration when the first user of it
// comes, and forgets it with the last. PLAIN asks the file of MEMCACHED_SASL_PWDB, which holds
// foo with the password bar.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "tests/support/temp_folder.h"

namespace larder::test {

class SaslSetup {
 public:
  SaslSetup() {
    char host[256] = {};
    gethostname(host, sizeof host - 1);
    std::ofstream(folder_.file("memcached.conf"))
        << "mech_list: plain cram-md5\nsasldb_path: " << folder_.file("sasldb") << "\n";
    std::ofstream(folder_.file("passwords")) << "foo@" << host << ":bar\n";
    setenv("SASL_CONF_PATH", folder_.file("").c_str(), 1);
    setenv("MEMCACHED_SASL_PWDB", folder_.file("passwords").c_str(), 1);
  }
  // PLAIN asks saslauthd instead, at this path of a unix socket.
  explicit SaslSetup(const std::string& saslauthd) {
    std::ofstream(folder_.file("memcached.conf"))
        << "mech_list: plain\npwcheck_method: saslauthd\nsaslauthd_path: " << saslauthd << "\n";
    setenv("SASL_CONF_PATH", folder_.file("").c_str(), 1);
  }
  ~SaslSetup() {
    unsetenv("SASL_CONF_PATH");
    unsetenv("MEMCACHED_SASL_PWDB");
  }

  // What a client says first in PLAIN.
  static std::string plain(const std::string& user, const std::string& password) {
    return '\0' + user + '\0' + password;
  }

 private:
  const TempFolder folder_;
};

}  // namespace larder::test
