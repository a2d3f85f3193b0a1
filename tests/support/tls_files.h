// TlsFiles: certificates in files, for one test: of an authority, of the server that it vouches
// for, and of two clients: one's is from this authority, the stranger's from another.
#pragma once

#include <string>
#include <vector>

#include "tests/support/certificates.h"
#include "tests/support/temp_folder.h"
#include "tests/support/temp_server.h"
#include "tests/support/tls_client.h"

namespace larder::test {

struct TlsFiles {
  TlsFiles() {
    authority.save(folder.file("ca"));
    authority.issue("server", {folder.file("certificate"), folder.file("key")});
    authority.issue("client", {client.certificate, client.key});
    Authority("elsewhere").issue("stranger", {stranger.certificate, stranger.key});
  }
  daemon::Settings settings(std::vector<std::string> listen = {"127.0.0.1"}) const {
    daemon::Settings s = loopback_settings();
    s.listen = std::move(listen);
    s.tls.enabled = true;
    s.tls.chain_cert = folder.file("certificate");
    s.tls.key = folder.file("key");
    s.tls.ca_cert = folder.file("ca");
    return s;
  }

  TempFolder folder;
  Authority authority{"authority"};
  TlsOptions client = options("client");
  TlsOptions stranger = options("stranger");

 private:
  TlsOptions options(const std::string& name) const {
    TlsOptions made;
    made.certificate = folder.file(name);
    made.key = folder.file(name + "-key");
    return made;
  }
};

}  // namespace larder::test
