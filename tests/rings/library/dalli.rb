# Asks Dalli's client for the node of every key. Reads and writes what make_golden.py says.
require 'dalli'

# Dalli's own server class, but always there, so that the ring opens no socket.
class Server < Dalli::Protocol::Binary
  def alive?
    true
  end
end

def spelled(host, port, weight)
  return "#{host}:#{weight}" if host.start_with?('/')

  "#{host.include?(':') ? "[#{host}]" : host}:#{port}:#{weight}"
end

keys = Array.new($stdin.gets.to_i) { $stdin.gets.chomp }
$stdin.gets.to_i.times do
  servers = Array.new($stdin.gets.to_i) { spelled(*$stdin.gets.split.first(3)) }
  client = Dalli::Client.new(servers, protocol_implementation: Server, threadsafe: false)
  ring = client.send(:ring)
  index = ring.servers.each_with_index.to_h.compare_by_identity
  puts(keys.map { |key| index[ring.server_for_key(key)] }.join(' '))
end
