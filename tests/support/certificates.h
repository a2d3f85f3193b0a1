// Authority: makes certificates for tests, at run time; none is kept in the source.
#pragma once

#include <memory>
#include <string>

struct evp_pkey_st;
struct x509_st;

namespace larder::test {

class Authority {
 public:
  explicit Authority(const std::string& name);

  // Writes its own certificate, PEM.
  void save(const std::string& file) const;

  // Makes a key and a certificate of it for a subject of this name and writes both, PEM.
  //
  // alternative_names  subjectAltName as OpenSSL reads it, "DNS:a.test,IP:127.0.0.1"; empty: none
  struct Files {
    std::string certificate;
    std::string key;
  };
  void issue(const std::string& name, const Files& into,
             const std::string& alternative_names = {}) const;

 private:
  using KeyPtr = std::unique_ptr<evp_pkey_st, void (*)(evp_pkey_st*)>;
  using CertificatePtr = std::unique_ptr<x509_st, void (*)(x509_st*)>;

  KeyPtr key_;
  CertificatePtr certificate_;
};

}  // namespace larder::test
