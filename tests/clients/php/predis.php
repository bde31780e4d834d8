<?php
// Predis: strings, deadlines, counters, transactions, scripts and iteration.

// Predis 1.1 is older than PHP 8.2, which warns about its properties.
error_reporting(E_ALL & ~E_DEPRECATED);
require __DIR__ . '/server.php';
require 'Predis/autoload.php';

$r = new Predis\Client(['host' => $host, 'port' => $port]);
[$a, $b] = ['predis:a', 'predis:b'];
check($r->set($a, '1', 'EX', 100, 'NX') == 'OK' && $r->set($a, '2', 'EX', 100, 'NX') === null, 'once');
check($r->ttl($a) > 90 && $r->persist($a) === 1 && $r->ttl($a) === -1, 'has a deadline, and then none');
check($r->incrby($a, 5) === 6 && $r->setex($b, 100, 'x') == 'OK' && $r->mget([$a, $b, 'predis:none']) === ['6', 'x', null], 'mget');
$r->psetex($b, 50, 'x');
eventually(fn () => $r->exists($b) === 0);

$replies = $r->transaction(fn ($t) => $t->set($a, '1') && $t->incr($a) && $t->expire($a, 100));
check($replies[1] === 2 && $replies[2] === 1, 'a transaction about one key');
check($r->pipeline(fn ($p) => $p->incr($a) && $p->incr($b)) === [3, 1], 'a pipeline about several');
check($r->transaction(['cas' => true, 'watch' => $a], function ($t) use ($a) {
    $value = $t->get($a);
    $t->multi();
    $t->set($a, $value * 10);
})[0] == 'OK' && $r->get($a) === '30', 'compare and set');
$script = "return {redis.call('incrby', KEYS[1], ARGV[1]), ARGV[1]}";
check($r->eval($script, 1, $a, 5) === [35, '5'] && $r->evalsha(sha1($script), 1, $a, 5) === [40, '5'], 'scripts');

$names = array_map(fn ($n) => "predis:scan:$n", range(10, 59));
$r->mset(array_fill_keys($names, 'v'));
$seen = array_unique(iterator_to_array(new Predis\Collection\Iterator\Keyspace($r, 'predis:scan:*', 7), false));
sort($seen);
check($seen === $names && $r->del($names) === 50, 'is found');
