<?php
// A page that is expensive to make: made by PHP, put into the cache under its path, and from then
// on served by nginx alone. The environment says where the cache is.
$cache = new Memcached();
$cache->setOption(Memcached::OPT_COMPRESSION, false);  // nginx sends what it finds as it is
$cache->setOption(Memcached::OPT_BINARY_PROTOCOL, getenv('CACHE_PROTOCOL') === 'binary');
$cache->addServer(getenv('CACHE_HOST'), (int)getenv('CACHE_PORT'));

$path = $_SERVER['REQUEST_URI'] ?? $argv[1];
$page = "<h1>$path</h1>\n" . str_repeat("<p>made at " . hrtime(true) . "</p>\n", 20000);
if (!$cache->set($path, $page, 100)) {
    http_response_code(500);
    exit($cache->getResultMessage());
}
echo $page;
