#include "tests/support/certificates.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdio>
#include <stdexcept>

namespace larder::test {
namespace {

constexpr long kSecondsOfLife = 24 * 3600;

using FilePtr = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

FilePtr open_to_write(const std::string& name) {
  FilePtr file(std::fopen(name.c_str(), "w"), std::fclose);
  if (file == nullptr) throw std::runtime_error("cannot write " + name);
  return file;
}

void write_certificate(const std::string& name, X509* certificate) {
  PEM_write_X509(open_to_write(name).get(), certificate);
}

// Without a signature, for `key`, from now on.
X509* blank_certificate(const std::string& subject, EVP_PKEY* key) {
  static std::atomic<long> serial{1};
  X509* const certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -kSecondsOfLife);
  X509_gmtime_adj(X509_getm_notAfter(certificate), kSecondsOfLife);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(subject.c_str()), -1, -1, 0);
  X509_set_pubkey(certificate, key);
  return certificate;
}

void add_extension(X509* certificate, int nid, const std::string& value) {
  X509_EXTENSION* const made = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  if (made == nullptr) throw std::runtime_error("cannot make the extension " + value);
  X509_add_ext(certificate, made, -1);
  X509_EXTENSION_free(made);
}

void sign(X509* certificate, X509* issuer, EVP_PKEY* key_of_issuer) {
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  if (X509_sign(certificate, key_of_issuer, EVP_sha256()) == 0) {
    throw std::runtime_error("cannot sign a certificate");
  }
}

}  // namespace

Authority::Authority(const std::string& name)
    : key_(EVP_EC_gen("P-256"), EVP_PKEY_free), certificate_(nullptr, X509_free) {
  if (key_ == nullptr) throw std::runtime_error("cannot make a key");
  certificate_.reset(blank_certificate(name, key_.get()));
  add_extension(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  sign(certificate_.get(), certificate_.get(), key_.get());
}

void Authority::save(const std::string& file) const { write_certificate(file, certificate_.get()); }

void Authority::issue(const std::string& name, const Files& into,
                      const std::string& alternative_names) const {
  const KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  if (key == nullptr) throw std::runtime_error("cannot make a key");
  const CertificatePtr certificate(blank_certificate(name, key.get()), X509_free);
  if (!alternative_names.empty()) {
    add_extension(certificate.get(), NID_subject_alt_name, alternative_names);
  }
  sign(certificate.get(), certificate_.get(), key_.get());
  write_certificate(into.certificate, certificate.get());
  PEM_write_PrivateKey(open_to_write(into.key).get(), key.get(), nullptr, nullptr, 0, nullptr,
                       nullptr);
}

}  // namespace larder::test
