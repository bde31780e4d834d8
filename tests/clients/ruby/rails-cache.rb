# Rails' cache store for Redis: one key, many keys, counters, deadlines, patterns.

require 'logger'
require 'active_support'
require 'active_support/cache'
require 'active_support/cache/redis_cache_store'
require_relative 'server'

failed = ->(method:, returning:, exception:) { raise exception }
cache = ActiveSupport::Cache::RedisCacheStore.new(url: URL, namespace: 'rails', error_handler: failed)
check cache.write('a', { 'deep' => [1, 2] }) && cache.read('a') == { 'deep' => [1, 2] }, 'is kept'
check cache.fetch('b', expires_in: 100) { 1 } == 1 && cache.fetch('b') { 2 } == 1, 'is computed once'
check !cache.write('b', 3, unless_exist: true) && cache.exist?('b') && !cache.exist?('c'), 'is refused'
cache.write_multi({ 'd' => 1, 'e' => 2 }, expires_in: 100)
check cache.read_multi('d', 'e', 'f') == { 'd' => 1, 'e' => 2 }, 'many keys'
check cache.increment('counter', 1, expires_in: 100) == 1 && cache.increment('counter', 4) == 5, 'is counted'
check cache.decrement('counter') == 4, 'is counted down'
check cache.redis.ttl('rails:counter').between?(90, 100), 'a counter has a deadline'
cache.write('short', 1, expires_in: 0.1)
eventually { cache.redis.exists('rails:short').zero? }
cache.delete('a')
check cache.read('a').nil?, 'is deleted'
check cache.delete_multi(%w[d e f]) == 2, 'many are deleted'
cache.write('pattern:1', 1)
cache.delete_matched('pattern:*')
check !cache.exist?('pattern:1') && cache.exist?('b'), 'a pattern is deleted'
cache.clear
check !cache.exist?('b'), 'all is deleted'
