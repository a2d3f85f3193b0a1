# Asks Dalli's ring for the node of every key. Reads and writes what make_golden.py says.
require 'dalli'

# A server that is always there, so that the ring opens no socket.
Server = Struct.new(:host, :port, :weight, :index) do
  def name
    "#{host}:#{port}"
  end

  def alive?
    true
  end
end

keys = Array.new($stdin.gets.to_i) { $stdin.gets.chomp }
$stdin.gets.to_i.times do
  servers = Array.new($stdin.gets.to_i) do |index|
    host, port, weight, = $stdin.gets.split
    Server.new(host, port.to_i, weight.to_i, index)
  end
  ring = Dalli::Ring.new(servers, threadsafe: false)
  puts(keys.map { |key| ring.server_for_key(key).index }.join(' '))
end
