#include "proto/error_lines.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

using namespace larder::proto;

TEST_CASE("every error says in its first word whose fault it is") {
  for (const ErrorLine& line : kErrorLines) {
    if (line.id == ErrorId::None) continue;
    INFO(line.text);
    const bool known = line.text.starts_with("ERROR") || line.text.starts_with("CLIENT_ERROR ") ||
                       line.text.starts_with("SERVER_ERROR") ||
                       line.text.starts_with("MEMLIMIT_") || line.text.starts_with("WATCHER_") ||
                       line.id == ErrorId::TlsNotEnabled;
    CHECK(known);
    CHECK(line.text.find_first_of("\r\n") == std::string_view::npos);
  }
}

TEST_CASE("errors that both dialects know carry the status and body that clients look for") {
  const auto check = [](ErrorId id, int status, std::string_view body) {
    CHECK(static_cast<int>(error_line(id).status) == status);
    CHECK(error_line(id).binary_text == body);
  };
  check(ErrorId::UnknownCommand, 0x81, "Unknown command");
  check(ErrorId::TooLarge, 0x03, "Too large.");
  check(ErrorId::BinaryInvalidArguments, 0x04, "Invalid arguments");
  check(ErrorId::NonNumeric, 0x06, "Non-numeric server-side value for incr or decr");
  check(ErrorId::FlushNotAllowed, 0x20, "Auth failure.");
  check(ErrorId::Unauthenticated, 0x20, "Auth failure.");
  check(ErrorId::AuthenticationFailed, 0x20, "Auth failure.");
  check(ErrorId::OutOfMemoryStoring, 0x82, "Out of memory allocating item");
}

TEST_CASE("every status but success and continuation has a body") {
  for (const BinaryStatus status :
       {BinaryStatus::NotFound, BinaryStatus::Exists, BinaryStatus::TooLarge,
        BinaryStatus::InvalidArguments, BinaryStatus::NotStored, BinaryStatus::NonNumeric,
        BinaryStatus::AuthFailure, BinaryStatus::UnknownCommand, BinaryStatus::OutOfMemory}) {
    CHECK_FALSE(binary_status_text(status).empty());
  }
  CHECK(binary_status_text(BinaryStatus::Ok).empty());
}
