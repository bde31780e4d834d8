# redis-rb: strings, deadlines, counters, transactions, scripts and iteration.

require 'redis'
require_relative 'server'

r = Redis.new(url: URL)
a, b = 'redis-rb:a', 'redis-rb:b'
check r.set(a, 1, ex: 100, nx: true), 'is set'
check !r.set(a, 2, ex: 100, nx: true), 'is refused'
check r.ttl(a) > 90 && r.persist(a) && r.ttl(a) == -1, 'has a deadline, and then none'
check r.incrby(a, 5) == 6 && r.setex(b, 100, 'x') == 'OK' && r.mget(a, b, 'redis-rb:none') == ['6', 'x', nil], 'mget'
r.psetex(b, 50, 'x')
eventually { !r.exists?(b) }

check r.multi { |t| t.set(a, 1); t.incr(a); t.expire(a, 100) } == ['OK', 2, true], 'a transaction about one key'
check r.pipelined { |p| p.incr(a); p.incr(b) } == [3, 1], 'a pipeline about several'
raced = r.watch(a) do
  Redis.new(url: URL).set(a, 5)
  r.multi { |t| t.set(a, 9) }
end
check raced.nil? && r.get(a) == '5', 'WATCH'

sha = r.script(:load, "return redis.call('incrby', KEYS[1], ARGV[1])")
check r.evalsha(sha, keys: [a], argv: [5]) == 10, 'scripts'
names = (10...60).map { |n| "redis-rb:scan:#{n}" }
r.mset(*names.flat_map { |name| [name, 'v'] })
check r.scan_each(match: 'redis-rb:scan:*', count: 7).to_a.uniq.sort == names && r.unlink(*names) == 50, 'is found'
