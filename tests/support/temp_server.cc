#include "tests/support/temp_server.h"

#include <stdexcept>

namespace larder::test {

daemon::Settings loopback_settings() {
  daemon::Settings settings;
  settings.listen = {"127.0.0.1"};
  settings.port = -1;
  settings.threads = 2;
  return settings;
}

TempServer::TempServer(const daemon::Settings& settings) : server_(settings) {
  server_.listen();
  server_.start(daemon::Server::Signals::Leave);
  acceptor_ = std::thread([this] { ended_ = server_.run(); });
}

TempServer::~TempServer() {
  if (acceptor_.joinable()) {
    server_.request_shutdown(false);
    acceptor_.join();
  }
  server_.stop();
}

daemon::Server::Ended TempServer::wait() {
  acceptor_.join();
  return ended_;
}

std::string TempServer::stat(const std::string& name) const {
  WireClient client = connect();
  client.send("stats\r\n");
  const std::string all = client.receive_until("END\r\n");
  const std::string start = "STAT " + name + " ";
  const size_t at = all.find(start);
  if (at == std::string::npos) throw std::runtime_error("no stat named " + name);
  const size_t value = at + start.size();
  return all.substr(value, all.find('\r', value) - value);
}

}  // namespace larder::test
