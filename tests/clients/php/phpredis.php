<?php
// phpredis, the extension: strings, deadlines, counters, transactions, scripts and iteration; and PHP's own sessions.

require __DIR__ . '/server.php';

$r = new Redis();
check($r->connect($host, $port), 'connects');
[$a, $b] = ['phpredis:a', 'phpredis:b'];
check($r->set($a, '1', ['nx', 'ex' => 100]) === true, 'is set');
check($r->set($a, '2', ['nx', 'ex' => 100]) === false, 'is refused');
check($r->ttl($a) > 90 && $r->persist($a) && $r->ttl($a) === -1, 'has a deadline, and then none');
check($r->incrBy($a, 5) === 6 && $r->setex($b, 100, 'x') && $r->mget([$a, $b, 'phpredis:none']) === ['6', 'x', false], 'mget');
check($r->psetex($b, 50, 'x'), 'is set for a while');
eventually(fn () => $r->exists($b) === 0);

check($r->multi()->set($a, '1')->incr($a)->expire($a, 100)->exec() === [true, 2, true], 'a transaction about one key');
check($r->pipeline()->incr($a)->incr($b)->exec() === [3, 1], 'a pipeline about several');
$other = new Redis();
$other->connect($host, $port);
$r->watch($a);
$other->set($a, '5');
check($r->multi()->set($a, '9')->exec() === false && $r->get($a) === '5', 'WATCH');

$script = "return redis.call('incrby', KEYS[1], ARGV[1])";
check($r->eval($script, [$a, 5], 1) === 10 && $r->evalSha(sha1($script), [$a, 5], 1) === 15, 'scripts');

$names = array_map(fn ($n) => "phpredis:scan:$n", range(10, 59));
$r->mset(array_fill_keys($names, 'v'));
$r->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
$seen = [];
while ($keys = $r->scan($cursor, 'phpredis:scan:*', 7)) {
    $seen = array_merge($seen, $keys);
}
$seen = array_values(array_unique($seen));
sort($seen);
check($seen === $names && $r->unlink($names) === 50, 'is found');

// PHP's own sessions: kept, with the lock that the extension offers.
ini_set('session.save_handler', 'redis');
ini_set('session.save_path', "tcp://$host:$port?prefix=php:");
ini_set('redis.session.locking_enabled', '1');
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
session_id('ann');
session_start();
$_SESSION['user'] = 'ann';
check($r->exists('php:ann_LOCK') === 1, 'the session is locked');
session_write_close();
check($r->exists('php:ann_LOCK') === 0 && $r->ttl('php:ann') > 60, 'the session is kept');
$_SESSION = [];
session_start();
check($_SESSION['user'] === 'ann', 'the session is read');
session_destroy();
check($r->exists('php:ann') === 0, 'the session is gone');
